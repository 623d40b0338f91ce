"""What went wrong in other people's roles and installers, one test each; docs/testing.md has the list."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gridtie.host.gpu import Survey, verdict
from gridtie.host.gpu.chips import ROCM_TARGETS, amd_chip, driver_floor, needs_proprietary, nvidia_chip
from gridtie.host.gpu.numbers import at_least, major, same, version
from gridtie.host.gpu.recipes import BRANCH, driver, toolkit
from gridtie.host.gpu.system import System, family_of, os_release

Machine = Callable[..., Survey]


def commands(survey: Survey) -> str:
    return "\n".join(command for need in verdict(survey).needs for command in need.commands)


# -- versions are numbers ---------------------------------------------------------------------------------------------


def test_ten_is_more_than_eight() -> None:
    assert version("10.1") > version("8.9")
    assert at_least("10", (8,))


def test_a_revision_with_a_leading_zero_is_the_same_number() -> None:
    assert same("580.95.05", "580.95.5-0ubuntu1")
    assert not same("580.9", "580.90")


@pytest.mark.parametrize("text", ["", "unknown", "N/A"])
def test_what_has_no_number_is_not_at_least_anything(text: str) -> None:
    assert not at_least(text, (0,))
    assert major(text) == 0


@pytest.mark.parametrize(
    ("fields", "family", "release"),
    [
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="10.1"', "rhel", 10),
        ('ID="rocky"\nVERSION_ID="10"', "rhel", 10),
        ('ID="almalinux"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.6"', "rhel", 9),
        ('ID="rhel"\nVERSION_ID="8.10"', "rhel", 8),
        ('ID="something"\nPLATFORM_ID="platform:el10"\nVERSION_ID="10"', "rhel", 10),
        ("ID=fedora\nVERSION_ID=44", "fedora", 44),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="22.1"', "ubuntu", 22),
        ('ID=debian\nVERSION_ID="13"', "debian", 13),
        ("ID=debian\nVERSION_CODENAME=sid", "debian", 0),
        ("ID=arch", "", 0),
    ],
)
def test_families_are_recognised_by_what_they_are_like(fields: str, family: str, release: int) -> None:
    found = os_release(fields)
    system = System(family=family_of(found), version=found.get("VERSION_ID", ""))

    assert (system.family, system.version_number) == (family, release)


# -- the branch -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chip", "generation", "capability", "proprietary", "floor"),
    [
        ("GM107", "Maxwell", "5.0", True, 570),
        ("GM204GLM", "Maxwell", "5.2", True, 570),
        ("GP100GL", "Pascal", "6.0", True, 570),
        ("GP104", "Pascal", "6.1", True, 570),
        ("GV100GL", "Volta", "7.0", True, 550),
        ("TU106BM", "Turing", "7.5", False, 550),
        ("GA100", "Ampere", "8.0", False, 550),
        ("GA102", "Ampere", "8.6", False, 550),
        ("AD104M", "Ada Lovelace", "8.9", False, 550),
        ("GH100", "Hopper", "9.0", False, 550),
        ("GB100", "Blackwell", "10.0", False, 570),
        ("GB110", "Blackwell", "10.3", False, 580),
        ("GB202", "Blackwell", "12.0", False, 570),
        ("GB20B", "Blackwell", "12.1", False, 580),
    ],
)
def test_a_generation_decides_modules_and_floor(
    chip: str, generation: str, capability: str, proprietary: bool, floor: int
) -> None:
    found = nvidia_chip(chip)

    assert (found.generation, found.target) == (generation, capability)
    assert (needs_proprietary(capability), driver_floor(capability)) == (proprietary, floor)


@pytest.mark.parametrize(("id", "release"), [("debian", "12"), ("debian", "13"), ("ubuntu", "24.04"), ("rhel", "9")])
def test_old_cards_stay_on_the_last_branch_with_proprietary_modules(id: str, release: str) -> None:
    recipe = driver(System(family=id, version=release, kernel="6.8.0-87-generic"), ("6.1",))

    assert (recipe.branch, recipe.open) == (BRANCH, False) == (580, False)
    assert "open" not in " ".join(recipe.packages)


def test_a_machine_with_an_old_and_a_new_card_gets_what_serves_both() -> None:
    assert not driver(System(family="ubuntu", version="24.04", kernel="6.8.0-87-generic"), ("6.1", "8.6")).open


def test_debian_12s_own_driver_is_below_the_floor_and_never_offered() -> None:
    recipe = driver(System(family="debian", version="12", codename="bookworm", kernel="6.1.0-40-amd64"), ("8.6",))

    assert recipe.origin == "nvidia"
    assert recipe.first == ("nvidia-driver-pinning-580",)


def test_debian_13s_own_driver_serves_turing_to_hopper_alone() -> None:
    system = System(family="debian", version="13", codename="trixie", kernel="6.12.57+deb13-amd64")

    assert driver(system, ("8.6",)).origin == "archive"
    assert driver(system, ("6.1",)).origin == "nvidia"
    assert driver(system, ("12.0",)).origin == "nvidia"


@pytest.mark.parametrize(
    ("kernel", "release", "flavour"),
    [
        ("6.8.0-87-generic", "24.04", "generic"),
        ("6.17.0-35-generic", "24.04", "generic-hwe-24.04"),
        ("6.8.0-87-generic", "22.04", "generic-hwe-22.04"),
        ("5.15.0-160-generic", "22.04", "generic"),
        ("6.14.0-1016-aws", "24.04", "aws"),
        ("6.8.0-87-lowlatency", "24.04", "lowlatency"),
    ],
)
def test_ubuntus_signed_modules_are_those_of_the_running_kernels_flavour(
    kernel: str, release: str, flavour: str
) -> None:
    recipe = driver(System(family="ubuntu", version=release, kernel=kernel), ("8.6",))

    assert recipe.packages[0] == f"linux-modules-nvidia-580-server-open-{flavour}"


@pytest.mark.parametrize(
    ("kernel", "packages"),
    [
        ("6.12.57+deb13-amd64", ("linux-headers-6.12.57+deb13-amd64", "linux-headers-amd64")),
        ("6.12.57+deb13-cloud-amd64", ("linux-headers-6.12.57+deb13-cloud-amd64", "linux-headers-cloud-amd64")),
        ("6.1.0-40-arm64", ("linux-headers-6.1.0-40-arm64", "linux-headers-arm64")),
    ],
)
def test_debians_headers_are_those_of_the_running_kernel_and_of_the_next(
    kernel: str, packages: tuple[str, ...]
) -> None:
    recipe = driver(System(family="debian", version="13", codename="trixie", kernel=kernel), ("8.6",))

    assert recipe.packages[:2] == packages


@pytest.mark.parametrize(
    ("system", "wanted", "unwanted"),
    [
        (System(family="rhel", version="9.6"), "dnf module enable nvidia-driver:580-open", "versionlock"),
        (System(family="rhel", version="8.10"), "dnf module enable nvidia-driver:580-open", "versionlock"),
        (System(family="rhel", version="10.1"), "dnf versionlock '*nvidia*580*'", "dnf module"),
        (System(family="fedora", version="44"), "dnf versionlock add '*nvidia*580*'", "dnf module"),
    ],
)
def test_streams_are_used_where_there_are_some(system: System, wanted: str, unwanted: str) -> None:
    found = "\n".join(driver(system, ("8.6",)).commands)

    assert wanted in found
    assert unwanted not in found


def test_enterprise_linux_10_gets_the_repository_of_10() -> None:
    assert any(
        "/rhel10/x86_64/" in command for command in driver(System(family="rhel", version="10"), ("8.6",)).commands
    )


def test_servers_with_arm_processors_have_their_own_repository() -> None:
    recipe = driver(System(family="rhel", version="9", architecture="aarch64"), ("9.0",))

    assert any("/rhel9/sbsa/" in command for command in recipe.commands)


def test_a_system_that_nobody_knows_gets_no_commands() -> None:
    assert driver(System(family=""), ("8.6",)).commands == ()


# -- what a change of drivers stumbles over ---------------------------------------------------------------------------


def test_held_packages_are_named_and_let_go_before_a_change_of_branch(machine: Machine) -> None:
    found = commands(machine("tesla-p40-held")).splitlines()

    assert found[0].startswith("sudo apt-mark unhold linux-modules-nvidia-535-server-generic")


def test_secure_boot_on_ubuntu_is_met_with_signed_modules(machine: Machine) -> None:
    found = commands(machine("rtx-3090-secure-boot-ubuntu"))

    assert "linux-modules-nvidia-580-server-open-generic" in found
    assert "nvidia-dkms" not in found
    assert "mokutil" not in found


def test_secure_boot_on_debian_asks_for_the_enrolment_of_the_key(machine: Machine) -> None:
    survey = machine("rtx-3090-secure-boot")

    assert survey.system.secure_boot is True
    assert survey.system.lockdown == "integrity"
    assert "mokutil --import" in commands(survey)


def test_secure_boot_is_told_before_the_driver_is_installed(machine: Machine) -> None:
    variable = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c < 0600000001"
    found = verdict(machine("rtx-3090-no-driver", extra=variable))

    assert "mok" in {need.code for need in found.needs}


@pytest.mark.parametrize(("value", "state"), [("0600000000", False), ("0600000001", True), ("06", None)])
def test_secure_boot_is_the_byte_after_the_attributes(value: str, state: bool | None, machine: Machine) -> None:
    variable = f"sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c < {value}"

    assert machine("rtx-3090-ready", extra=variable).system.secure_boot is state


def test_missing_headers_are_told_where_a_module_is_built(machine: Machine) -> None:
    found = {need.code: need for need in verdict(machine("rtx-3090-no-driver")).needs}

    assert "6.12.57+deb13-amd64" in found["headers"].found


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("rtx-3090-driver-mismatch", "the kernel has 580.82.07, the installed module 580.95.05"),
        ("rtx-3090-nouveau-bound", "nouveau still has the card"),
        ("rx-7900-xtx-dkms-mismatch", "the kernel has 6.12.12, the installed module 6.14.14"),
    ],
)
def test_a_pending_reboot_is_derived_and_told_every_time(case: str, says: str, machine: Machine) -> None:
    survey = machine(case)

    assert says in verdict(survey).reboot
    # Nothing was remembered in between: a second look derives it again.
    assert says in verdict(machine(case, extra="# a later look")).reboot


def test_libraries_without_their_module_are_a_pending_reboot_too(machine: Machine) -> None:
    survey = machine(
        "rtx-3090-ready", without="libnvidia-ml", extra="usr/lib/x86_64-linux-gnu/libnvidia-ml.so.590.44.01 ="
    )

    assert "its libraries 590.44.01" in verdict(survey).reboot


def test_no_reboot_is_pending_where_all_versions_are_the_same(machine: Machine) -> None:
    assert verdict(machine("rtx-3090-ready")).reboot == ""


def test_the_version_of_a_module_that_is_compressed_comes_from_dkms(machine: Machine) -> None:
    kernel = "6.8.0-87-generic"
    survey = machine(
        "rtx-3090-ready",
        without="nvidia.ko",
        extra=f"lib/modules/{kernel}/updates/dkms/nvidia.ko.zst = x\nvar/lib/dkms/nvidia/590.44.01/{kernel}/",
    )

    assert survey.nvidia.installed_version == "590.44.01"


def test_a_module_compressed_by_xz_is_read(machine: Machine) -> None:
    import lzma

    packed = lzma.compress(b"\0license=NVIDIA\0version=590.44.01\0").hex()
    survey = machine(
        "rtx-3090-ready",
        without="nvidia.ko",
        extra=f"lib/modules/6.8.0-87-generic/updates/dkms/nvidia-current.ko.xz < {packed}",
    )

    assert (survey.nvidia.installed_version, survey.nvidia.signed) == ("590.44.01", False)


def test_nvidia_uvm_lost_by_a_suspend_is_found_and_mended(machine: Machine) -> None:
    assert "modprobe nvidia_uvm" in commands(machine("rtx-3090-uvm-lost"))


def test_missing_device_nodes_are_found(machine: Machine) -> None:
    found = verdict(machine("rtx-3090-ready", without="dev/nvidiactl"))

    assert [need.code for need in found.problems] == ["nodes"]


# -- containers -------------------------------------------------------------------------------------------------------


def test_cdi_comes_first_and_the_runtime_is_enough(machine: Machine) -> None:
    assert verdict(machine("rtx-3090-ready")).backend == "cuda"
    assert verdict(machine("rtx-3090-default-runtime")).backend == "cuda"


def test_a_toolkit_without_specification_and_runtime_is_a_problem(machine: Machine) -> None:
    found = verdict(machine("rtx-3090-ready", without="cdi/nvidia.yaml"))

    assert [need.code for need in found.problems] == ["cdi"]
    assert found.backend == ""


def test_a_specification_of_another_vendor_is_not_nvidias(machine: Machine) -> None:
    survey = machine("rtx-3090-ready", without="cdi/nvidia", extra="etc/cdi/other.yaml = kind: vendor.com/device")

    assert survey.access.cdi == ()


def test_nvidia_as_the_default_runtime_is_told(machine: Machine) -> None:
    codes = {need.code for need in verdict(machine("rtx-3090-default-runtime")).needs}

    assert {"default_runtime", "old_toolkit"} <= codes


def test_version_1_9_of_the_toolkit_is_older_than_1_18() -> None:
    assert not at_least("1.9.0-1", (1, 18))
    assert at_least("1.20.0-1", (1, 18))


def test_an_engine_on_the_host_needs_no_toolkit(machine: Machine) -> None:
    assert verdict(machine("rtx-3090-no-toolkit"), "native").backend == "cuda"


def test_an_engine_on_the_host_needs_a_vulkan_driver(machine: Machine) -> None:
    assert [need.code for need in verdict(machine("rx-580"), "native").problems] == ["vulkan"]


@pytest.mark.parametrize("family", ["debian", "ubuntu", "rhel", "fedora"])
def test_the_toolkit_comes_from_nvidias_stable_repository(family: str) -> None:
    assert any("libnvidia-container/stable" in command for command in toolkit(System(family=family)).commands)


# -- AMD --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chip", "product", "target"),
    [
        ("Navi 31", "", "gfx1100"),
        ("Navi 21 GL-XL", "", "gfx1030"),
        ("Navi 22", "", "gfx1031"),
        ("Strix Halo", "", "gfx1151"),
        ("Strix", "", "gfx1150"),
        ("Aqua Vanjaram", "Instinct MI300X", "gfx942"),
        ("Aqua Vanjaram", "Instinct MI355X", "gfx950"),
        ("Ellesmere", "", "gfx803"),
    ],
)
def test_amds_chips_have_their_targets(chip: str, product: str, target: str) -> None:
    assert amd_chip(chip, product).target == target


def test_a_target_that_rocm_does_not_have_is_left_to_vulkan(machine: Machine) -> None:
    assert "gfx803" not in ROCM_TARGETS
    assert verdict(machine("rx-580")).backend == "vulkan"
