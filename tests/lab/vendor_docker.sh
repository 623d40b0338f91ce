#!/bin/sh
# On a lab host: make a package source with docker-ce's packages, in the layout that Docker's own archive ships.
#
# That archive cannot be had on a network that allows only the distribution's, so the binaries are the distribution's
# own. Names, dependencies, conflicts and paths are docker-ce's: they are what an adoption can trip over.
set -eu
source=/srv/docker-ce
work=$(mktemp -d)
mkdir -p "$source"
cd "$work"
chmod 755 "$work"

apt-get -qq update
apt-get -qq download docker.io docker-cli containerd runc docker-buildx docker-compose tini 2>/dev/null
mkdir files
for package in *.deb; do dpkg-deb -x "$package" "files/${package%%_*}"; done

package() { # NAME VERSION CONTROL: what was laid out in $work/NAME becomes a package, and an entry of the index
    mkdir -p "$1/DEBIAN"
    printf 'Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Lab <lab@example.org>\nDescription: %s\n%s\n' \
        "$1" "$2" "$(dpkg --print-architecture)" "$1" "$3" >"$1/DEBIAN/control"
    dpkg-deb --root-owner-group -Znone -b "$1" "$source/$1.deb" >/dev/null
    {
        dpkg-deb -f "$source/$1.deb"
        printf 'Filename: ./%s.deb\nSize: %s\nSHA256: %s\n\n' "$1" "$(stat -c %s "$source/$1.deb")" \
            "$(sha256sum "$source/$1.deb" | cut -d' ' -f1)"
    } >>"$source/Packages.new"
}

put() { # NAME MODE DIRECTORY FILE...
    name=$1 mode=$2 directory=$3
    shift 3
    install -D -m "$mode" -t "$name$directory" "$@"
}

put containerd.io 755 /usr/bin files/containerd/usr/bin/containerd files/containerd/usr/bin/containerd-shim-runc-v2 \
    files/containerd/usr/bin/ctr files/runc/usr/sbin/runc
put containerd.io 644 /usr/lib/systemd/system files/containerd/usr/lib/systemd/system/containerd.service
sed -i 's:/usr/local/bin/containerd:/usr/bin/containerd:' containerd.io/usr/lib/systemd/system/containerd.service
package containerd.io 1.7.24-1 "Depends: libc6, libseccomp2
Provides: containerd, runc
Conflicts: containerd, runc
Replaces: containerd, runc"

put docker-ce-cli 755 /usr/bin files/docker-cli/usr/bin/docker
package docker-ce-cli 5:26.1.5-1 "Depends: libc6
Conflicts: docker-cli"

put docker-ce 755 /usr/bin files/docker.io/usr/sbin/dockerd files/docker.io/usr/sbin/docker-proxy
install -D -m 755 files/tini/usr/bin/tini-static docker-ce/usr/bin/docker-init
put docker-ce 644 /usr/lib/systemd/system files/docker.io/usr/lib/systemd/system/docker.service \
    files/docker.io/usr/lib/systemd/system/docker.socket
sed -i 's:/usr/sbin/dockerd:/usr/bin/dockerd:' docker-ce/usr/lib/systemd/system/docker.service
mkdir -p docker-ce/DEBIAN
printf '#!/bin/sh\nset -e\ngetent group docker >/dev/null || groupadd --system docker\n' >docker-ce/DEBIAN/postinst
chmod 755 docker-ce/DEBIAN/postinst
package docker-ce 5:26.1.5-1 "Depends: containerd.io, docker-ce-cli, iptables, libc6, libsystemd0
Conflicts: docker.io, docker
Replaces: docker.io"

put docker-buildx-plugin 755 /usr/libexec/docker/cli-plugins \
    files/docker-buildx/usr/libexec/docker/cli-plugins/docker-buildx
package docker-buildx-plugin 0.13.1-1 "Enhances: docker-ce-cli"

put docker-compose-plugin 755 /usr/libexec/docker/cli-plugins \
    files/docker-compose/usr/libexec/docker/cli-plugins/docker-compose
package docker-compose-plugin 2.26.1-1 "Enhances: docker-ce-cli"

put docker-ce-rootless-extras 755 /usr/bin files/docker.io/usr/share/docker.io/contrib/dockerd-rootless.sh \
    files/docker.io/usr/share/docker.io/contrib/dockerd-rootless-setuptool.sh
package docker-ce-rootless-extras 5:26.1.5-1 "Depends: dbus-user-session, rootlesskit, slirp4netns, uidmap, docker-ce"

mv "$source/Packages.new" "$source/Packages"
echo "deb [trusted=yes] file:$source ./" >/etc/apt/sources.list.d/docker-ce.list
apt-get -qq update
rm -rf "$work"
