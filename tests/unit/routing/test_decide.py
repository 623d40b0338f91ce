"""The decision as a table, and what no configuration and no request can change about it."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridtie.config.load import ConfigError
from gridtie.dialects.images import image_tokens
from gridtie.routing.decide import decide
from gridtie.routing.plan import Plan, RequestInfo
from gridtie.routing.policy import Policy
from gridtie.routing.snapshot import Snapshot, TargetState
from standins import house
from standins.house import CLOUD, LARGE, SMALL

NOW = 1000.0
BUSY = TargetState(loaded=True, in_flight=2)
DOWN = TargetState(ready=False, last_error="Connection refused")
FAILING = TargetState(loaded=True, retry_at=NOW + 4.2, failures=3, last_error="500")

POLICY = house.policy()


def plan(
    *asked: Any, policy: Policy = POLICY, budget_left: dict[str, float] | None = None, **states: TargetState
) -> Plan:
    ask = house.request(*asked) if all(isinstance(each, str) for each in asked) else asked[0]
    snapshot = Snapshot(now=NOW, states=house.states(**states), budget_left=budget_left or {})
    return decide(ask, policy, snapshot)


def ids(plan: Plan) -> list[str]:
    return [attempt.target.id for attempt in plan.attempts]


def codes(plan: Plan) -> dict[str, str]:
    return {skip.target: skip.code for skip in plan.skipped}


def test_no_combination_of_tags_fills_the_memory() -> None:
    """Twelve tags in rules can be sent in four thousand ways, for each alias, surface and need."""
    tags = [f"t{number}" for number in range(12)]
    rules = [{"name": tag, "use": ["cloud"], "when": {"tags": [tag]}} for tag in tags]
    policy = house.policy(rules=[*rules, {"name": "all", "use": ["local"]}])
    needs = (frozenset[str](), frozenset({"tools"}))
    kinds = [
        (need, [tag for at, tag in enumerate(tags) if many >> at & 1]) for need in needs for many in range(1 << 12)
    ]

    def rule_of(need: frozenset[str], sent: list[str]) -> str:
        return policy.route(msgspec.structs.replace(house.request(), tags=frozenset(sent), needs=need)).rule

    tracemalloc.start()
    try:
        assert all(rule_of(need, sent) == (sent[0] if sent else "all") for need, sent in kinds)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 12 * 1024 * 1024


def test_a_model_without_a_template_is_asked_for_no_chat() -> None:
    """It would answer a question with the question."""
    base = house.policy(house.station(large={"capabilities": [], "purposes": ["completion"]}))
    found = plan("gridtie/qwen2.5-coder:7b", "ci", policy=base)

    assert not found.attempts and found.refusal is not None
    assert "it has no chat template: it completes text, and is for that alone" in found.refusal.message


ORDERS = [
    ("development is local first, then the cloud", "coder", "dev", {}, [LARGE, CLOUD]),
    ("so is test", "coder", "test", {}, [LARGE, CLOUD]),
    ("ci is local only", "coder", "ci", {}, [LARGE]),
    ("production is cloud first, then a local model of the minimum score", "coder", "production", {}, [CLOUD, LARGE]),
    ("an alias without a cloud stays local everywhere", "smoke-test", "production", {}, [SMALL]),
    ("an alias with a list tries it in order", "chat", "dev", {}, [LARGE, SMALL, CLOUD]),
    ("a local model answers to its own name", "gridtie/smollm2:135m", "dev", {}, [SMALL]),
    ("and to its name in the catalogue", "smollm2:135m", "ci", {}, [SMALL]),
    ("no model means the default alias", "", "dev", {}, [LARGE, CLOUD]),
    ("an engine that is down is left out", "coder", "dev", {"large": DOWN}, [CLOUD]),
    ("a cloud that fails is left alone", "coder", "production", {"cloud": FAILING}, [LARGE]),
    ("a local model that fails is left alone while there is another way", "coder", "dev", {"large": FAILING}, [CLOUD]),
    ("and is tried at once where there is none", "coder", "ci", {"large": FAILING}, [LARGE]),
    ("a busy local model is waited for", "coder", "dev", {"large": BUSY}, [LARGE, CLOUD]),
    ("one that is free and in memory goes before a busy one", "chat", "dev", {"large": BUSY}, [SMALL, LARGE, CLOUD]),
    (
        "one that must be loaded does not: that may push the busy one out",
        "chat",
        "dev",
        {"large": BUSY, "small": TargetState(loaded=False)},
        [LARGE, SMALL, CLOUD],
    ),
]


@pytest.mark.parametrize(
    ("alias", "environment", "states", "wanted"), [row[1:] for row in ORDERS], ids=[row[0] for row in ORDERS]
)
def test_order_of_attempts(alias: str, environment: str, states: dict[str, TargetState], wanted: list[str]) -> None:
    assert ids(plan(alias, environment, **states)) == wanted


def ask(**fields: Any) -> Any:
    return house.request(**fields)


REFUSALS = [
    ("an unknown model", ask(alias="codr"), {}, 404, "model_not_found", 'did you mean "coder"?'),
    ("no rule for the environment", ask(environment="live"), {}, 403, "no_rule", "no rule of llm_routing.yaml"),
    (
        "private, and only a cloud is configured",
        ask(alias="remote", tags=frozenset({"private"})),
        {},
        403,
        "local_only",
        "may not leave for a cloud",
    ),
    (
        "private, and the engine is down",
        ask(tags=frozenset({"private"})),
        {"large": DOWN},
        503,
        "no_local_ready",
        "its engine does not answer (Connection refused)",
    ),
    ("ci, and the engine is down", ask(environment="ci"), {"large": DOWN}, 503, "no_local_ready", "never: cloud"),
    (
        "both fail",
        ask(environment="production"),
        {"cloud": FAILING, "large": DOWN},
        503,
        "no_target_ready",
        "it failed (500)",
    ),
    (
        "a need that nothing meets",
        ask(environment="ci", needs=frozenset({"vision"})),
        {},
        400,
        "capability_missing",
        'it cannot do vision. It may not leave for a cloud: rule "ci" says never: cloud. Ask for a model that can',
    ),
]


@pytest.mark.parametrize(
    ("asked", "states", "status", "code", "says"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_refusals_say_what_stands_in_the_way(
    asked: Any, states: dict[str, TargetState], status: int, code: str, says: str
) -> None:
    refusal = plan(asked, **states).refusal

    assert refusal is not None
    assert (refusal.status, refusal.code) == (status, code)
    assert says in refusal.message


def test_an_unknown_model_is_answered_with_the_list_of_what_exists() -> None:
    refusal = plan("nothing-like-it").refusal

    assert refusal is not None
    assert "coder, chat, smoke-test, remote, gridtie/qwen2.5-coder:7b, gridtie/smollm2:135m" in refusal.message


def test_what_passes_by_itself_says_when_to_come_back() -> None:
    refused = plan(ask(alias="remote", environment="production"), cloud=FAILING).refusal

    assert refused is not None
    assert refused.retry_after == 5


def test_what_does_not_pass_by_itself_says_no_time() -> None:
    refused = plan("remote", "ci").refusal

    assert refused is not None
    assert refused.retry_after is None


@pytest.mark.parametrize(
    ("paused_by", "status", "code", "passes"),
    [
        ("limited", 429, "rate_limited", True),
        ("failing", 503, "no_target_ready", True),
        ("misconfigured", 503, "target_misconfigured", False),
    ],
)
def test_a_pause_is_told_by_its_cause(paused_by: Any, status: int, code: str, passes: bool) -> None:
    state = TargetState(retry_at=NOW + 5, last_error="HTTP 429", paused_by=paused_by)

    refused = plan(ask(alias="remote", environment="production"), cloud=state).refusal

    assert refused is not None
    assert (refused.status, refused.code, refused.retry_after is not None) == (status, code, passes)
    assert "doctor" not in refused.message, "no engine of this machine has to do with it"


def test_without_a_station_the_refusal_says_how_to_get_one() -> None:
    refused = plan("coder", "ci", policy=house.policy(bare=True)).refusal

    assert refused is not None
    assert "run `ansible-playbook site.yml`" in refused.message


def test_a_weak_local_model_is_no_fallback_for_the_cloud() -> None:
    weak = house.policy(house.station(large={"score": 49.9}))

    decision = plan("coder", "production", policy=weak)

    assert ids(decision) == [CLOUD]
    assert codes(decision) == {LARGE: "min_score"}


def test_a_local_model_without_a_score_does_not_reach_a_minimum() -> None:
    unknown = house.policy(house.station(large={"score": None}))

    assert ids(plan("coder", "production", policy=unknown)) == [CLOUD]


def test_a_minimum_score_by_its_former_name_holds() -> None:
    models = house.document()["models"]
    models["coder"]["floor"] = models["coder"].pop("min_score")
    weak = house.policy(house.station(large={"score": 49.9}), models=models)

    decision = plan("coder", "production", policy=weak)

    assert ids(decision) == [CLOUD]
    assert "needs 50 (models.coder.min_score)" in decision.skipped[0].reason


def test_the_minimum_score_does_not_hold_where_local_comes_first() -> None:
    weak = house.policy(house.station(large={"score": 1.0}))

    assert ids(plan("coder", "dev", policy=weak)) == [LARGE, CLOUD]


def test_what_a_model_cannot_do_is_left_to_one_that_can() -> None:
    decision = plan(ask(alias="chat", needs=frozenset({"tools"})))

    assert ids(decision) == [LARGE, CLOUD]
    assert codes(decision) == {SMALL: "capability"}


def test_a_prompt_clearly_over_the_context_goes_to_a_larger_one_first() -> None:
    assert ids(plan(ask(alias="chat", prompt_tokens=2 * 8192 + 1))) == [LARGE, CLOUD, SMALL]


def test_a_prompt_that_may_fit_keeps_the_order_of_the_rule() -> None:
    assert ids(plan(ask(alias="chat", prompt_tokens=2 * 8192))) == [LARGE, SMALL, CLOUD]


def gpu_policy() -> Policy:
    """Two servers of one's own that the routing file names, of which nothing is known before they say it."""
    provider = {"type": "openai", "base_url": "http://gpu:8000/v1", "locality": "local"}
    providers = {**house.document()["providers"], "gpu": provider, "gpu2": provider}
    models = {**house.document()["models"], "big": {"local": ["gpu/m", "gpu2/m"]}}
    return house.policy(providers=providers, models=models)


def on_gpus(tokens: int = 100, **states: TargetState) -> Plan:
    seen = {f"{name}/m": state for name, state in states.items()}
    return decide(house.request("big", prompt_tokens=tokens), gpu_policy(), Snapshot(now=0.0, states=seen))


def test_a_context_that_a_server_says_counts_as_one_that_is_set() -> None:
    small, large = TargetState(loaded=True, context=4096), TargetState(loaded=True, context=32768)

    assert ids(on_gpus(4000, gpu=small, gpu2=large)) == ["gpu/m", "gpu2/m"]
    assert ids(on_gpus(20_000, gpu=small, gpu2=large)) == ["gpu2/m", "gpu/m"]
    assert ids(on_gpus(20_000, gpu=TargetState(loaded=True), gpu2=large)) == ["gpu/m", "gpu2/m"]


def test_a_server_whose_own_queue_is_empty_comes_before_one_where_requests_wait() -> None:
    crowded, free = TargetState(loaded=True, queued=3), TargetState(loaded=True)
    seen = on_gpus(gpu=crowded, gpu2=free)

    assert ids(seen) == ["gpu2/m", "gpu/m"]
    assert "3 wait in its engine" in seen.attempts[1].reason
    assert ids(on_gpus(gpu=crowded, gpu2=crowded)) == ["gpu/m", "gpu2/m"]
    assert ids(on_gpus(gpu=crowded, gpu2=TargetState(loaded=False))) == ["gpu/m", "gpu2/m"]


def test_a_prompt_clearly_over_is_still_tried_where_nothing_larger_may_be_used() -> None:
    assert ids(plan(ask(alias="smoke-test", environment="ci", prompt_tokens=1_000_000))) == [SMALL]


def test_a_model_that_is_not_in_memory_gets_the_time_to_load() -> None:
    cold, cloud = plan("coder", "dev", large=TargetState(loaded=False)).attempts

    assert (cold.first_token, cloud.first_token) == (300.0, 60.0)
    assert "must be loaded first" in cold.reason


def test_a_busy_local_model_is_waited_for_as_long_as_the_rule_says() -> None:
    first = plan("coder", "dev", large=BUSY).attempts[0]

    assert first.max_wait == 30
    assert "it is busy (2 in flight), waits up to 30 s" in first.reason


def test_without_max_wait_a_local_slot_is_waited_for_to_the_end() -> None:
    assert plan("coder", "ci", large=BUSY).attempts[0].max_wait == 900


def impatient(**changes: Any) -> Policy:
    rules = house.document()["rules"]
    rules[1]["max_wait"] = rules[2]["max_wait"] = 0
    return house.policy(rules=rules, **changes)


def test_a_rule_that_does_not_wait_skips_what_is_busy() -> None:
    decision = plan("coder", "dev", policy=impatient(), large=BUSY)

    assert ids(decision) == [CLOUD]
    assert codes(decision) == {LARGE: "busy"}


def test_when_all_is_busy_and_nothing_waits_the_client_may_come_back() -> None:
    refused = plan("coder", "ci", policy=impatient(), large=BUSY).refusal

    assert refused is not None
    assert (refused.status, refused.code, refused.retry_after) == (429, "busy", 2)


def test_the_limit_of_a_whole_provider_makes_its_targets_busy() -> None:
    providers = house.document()["providers"]
    providers["openai"]["max_in_flight"] = 3
    snapshot = Snapshot(now=NOW, states=house.states(), provider_in_flight={"openai": 3})

    decision = decide(ask(environment="production"), house.policy(providers=providers), snapshot)

    assert ids(decision) == [LARGE]
    assert codes(decision) == {CLOUD: "busy"}


# Money


def limited(usd: float = 1.0, **budget: Any) -> Policy:
    return house.policy(budgets=[{"name": "daily", "usd": usd, **budget}])


def test_a_cloud_attempt_reserves_what_it_may_cost() -> None:
    asked = ask(environment="production", text_bytes=3000, max_output=500)

    first, second = plan(asked, policy=limited(), budget_left={"daily": 1.0}).attempts

    assert (first.reserve_usd, first.budgets) == (pytest.approx(0.0015), ("daily",))
    assert (second.reserve_usd, second.budgets) == (0.0, ())
    assert first.output_limit is None, "the client named its own"


def test_every_answer_that_is_asked_for_is_reserved_for() -> None:
    asked = ask(environment="production", text_bytes=3000, max_output=500, choices=10)

    (first, _) = plan(asked, policy=limited(), budget_left={"daily": 1.0}).attempts

    assert first.reserve_usd == pytest.approx(0.006)


def test_an_image_is_reserved_for_by_what_the_target_charges_at_most() -> None:
    one = plan(ask(environment="production", max_output=1, images=1), policy=limited()).attempts[0].reserve_usd
    two = plan(ask(environment="production", max_output=1, images=2), policy=limited()).attempts[0].reserve_usd

    assert two - one == pytest.approx(image_tokens("gpt-5.4-mini", 1) / 1e6)


def test_where_money_is_limited_and_no_limit_is_named_one_is_written() -> None:
    asked = ask(environment="production", text_bytes=0)

    first, second = plan(asked, policy=limited(), budget_left={"daily": 1.0}).attempts

    assert (first.output_limit, first.reserve_usd) == (8192, pytest.approx(0.008192))
    assert second.output_limit is None


def test_a_budget_that_pays_for_less_gives_a_smaller_limit() -> None:
    asked = ask(environment="production", text_bytes=3000)

    first = plan(asked, policy=limited(), budget_left={"daily": 0.003}).attempts[0]

    assert first.output_limit == pytest.approx(2000, abs=1)
    assert first.reserve_usd <= 0.003


def test_max_cost_gives_a_smaller_limit_as_well() -> None:
    rules = house.document()["rules"]
    rules[-1]["max_cost"] = 0.002

    first = plan(ask(environment="production", text_bytes=3000), policy=house.policy(rules=rules)).attempts[0]

    assert first.output_limit == pytest.approx(1000, abs=1)


def test_what_has_no_known_price_is_not_sent_where_money_is_limited() -> None:
    asked = ask(environment="production", extras=frozenset({"web_search_options"}))

    decision = plan(asked, policy=limited(), budget_left={"daily": 1.0})

    assert codes(decision) == {CLOUD: "price"}
    assert ids(plan(asked)) == [CLOUD, LARGE], "and where it is not, it is"


def test_a_budget_that_is_used_up_leaves_the_local_way() -> None:
    decision = plan("coder", "production", policy=limited(), budget_left={"daily": 0.000001})

    assert ids(decision) == [LARGE]
    assert codes(decision) == {CLOUD: "budget"}


def test_a_used_up_budget_with_no_other_way_is_refused_as_such() -> None:
    refused = plan("remote", "production", policy=limited(), budget_left={"daily": 0.0}).refusal

    assert refused is not None
    assert (refused.status, refused.code) == (402, "budget_exhausted")


@pytest.mark.parametrize(("left", "lacking"), [(1.0, ()), (0.003, ("daily",)), (0.000001, ("daily",))])
def test_a_plan_says_which_budgets_had_too_little_for_what_was_wanted(left: float, lacking: tuple[str, ...]) -> None:
    decision = plan("coder", "production", policy=limited(), budget_left={"daily": left})

    assert tuple(dict.fromkeys(decision.lacking)) == lacking


@pytest.mark.parametrize("budget", [{"environment": "dev"}, {"key": "somebody-else"}])
def test_a_budget_of_others_does_not_hold(budget: dict[str, str]) -> None:
    decision = plan("coder", "production", policy=limited(**budget), budget_left={"daily": 0.0})

    assert ids(decision) == [CLOUD, LARGE]


def test_max_cost_holds_from_every_rule_that_matches() -> None:
    rules = [{"name": "tagged", "when": {"tags": ["fast"]}, "use": ["cloud"]}, *house.document()["rules"]]
    rules[-1]["max_cost"] = 0.000001

    refused = plan(ask(environment="production", tags=frozenset({"fast"})), policy=house.policy(rules=rules)).refusal

    assert refused is not None
    assert (refused.status, refused.code) == (402, "too_expensive")
    assert "Ask for fewer tokens (max_tokens)" in refused.message


def test_a_model_without_a_price_is_not_used_where_money_is_counted() -> None:
    models = house.document()["models"]
    models["coder"]["cloud"]["model"] = "unlisted"
    policy = house.policy(models=models, budgets=[{"name": "daily", "usd": 1}])

    decision = plan("coder", "production", policy=policy, budget_left={"daily": 1.0})

    assert codes(decision) == {"openai/unlisted": "price"}


# Rules


def test_conditions_hold_together_and_any_value_of_one_will_do() -> None:
    rules = [
        {"name": "reviews", "when": {"agent": ["reviewer", "tester"], "tags": ["slow", "deep"]}, "use": ["cloud"]},
        *house.document()["rules"],
    ]
    policy = house.policy(rules=rules)

    matching = plan(ask(agent="tester", tags=frozenset({"deep", "x"})), policy=policy)
    missing = plan(ask(agent="coder", tags=frozenset({"deep"})), policy=policy)

    assert (matching.rule, missing.rule) == ("reviews", "dev")


@pytest.mark.parametrize(("tokens", "rule"), [(999, "dev"), (1000, "dev"), (1001, "long")])
def test_size_chooses_a_rule(tokens: int, rule: str) -> None:
    rules = [{"name": "long", "when": {"larger_than": 1000}, "use": ["cloud"]}, *house.document()["rules"]]

    assert plan(ask(prompt_tokens=tokens), policy=house.policy(rules=rules)).rule == rule


@pytest.mark.parametrize(("tokens", "rule"), [(999, "short"), (1000, "dev")])
def test_a_rule_for_short_prompts_ends_where_it_says(tokens: int, rule: str) -> None:
    rules = [{"name": "short", "when": {"smaller_than": 1000}, "use": ["local"]}, *house.document()["rules"]]

    assert plan(ask(prompt_tokens=tokens), policy=house.policy(rules=rules)).rule == rule


def test_a_rule_may_name_one_model_of_a_provider() -> None:
    rules = [{"name": "exact", "use": [SMALL, CLOUD]}]

    assert ids(plan("coder", policy=house.policy(rules=rules))) == [SMALL, CLOUD]


def test_a_header_that_brings_another_rule_to_the_front_does_not_lift_what_is_forbidden() -> None:
    rules = [{"name": "fast", "when": {"tags": ["fast"]}, "use": ["cloud", "local"]}, *house.document()["rules"]]

    decision = plan(ask(environment="ci", tags=frozenset({"fast"})), policy=house.policy(rules=rules))

    assert decision.local_only
    assert CLOUD not in ids(decision)


def test_private_holds_without_a_rule_for_it() -> None:
    rules = [{"name": "all", "use": ["cloud", "local"]}]

    decision = plan(ask(alias="chat", tags=frozenset({"private"})), policy=house.policy(rules=rules))

    assert ids(decision) == [LARGE, SMALL]


def test_every_attempt_and_every_skip_has_a_reason() -> None:
    decision = plan("chat", "production", large=DOWN)

    assert all(each.reason for each in (*decision.attempts, *decision.skipped))


# Weights

AZURE = "azure/gpt-5.4-mini"


def shared(
    weights: tuple[int | None, int | None] = (3, 1), local: Any = None, use: list[str] | None = None, **changes: Any
) -> Policy:
    """The house with an alias `coder` for two clouds."""
    document = house.document()
    document["providers"]["azure"] = {
        "type": "openai",
        "base_url": "https://azure.example/v1",
        "key_file": "secrets/azure",
        **changes,
    }
    clouds = [
        {"provider": name, "model": "gpt-5.4-mini", "weight": weight}
        for name, weight in zip(("openai", "azure"), weights, strict=True)
    ]
    document["models"]["coder"] = {"local": local, "cloud": clouds}
    document["rules"] = [{"name": "all", "use": use or ["cloud", "local"]}]
    return house.policy(**document)


def orders(policy: Policy, count: int = 400, **states: TargetState) -> list[list[str]]:
    """The targets of so many requests."""
    return [ids(plan(ask(id=f"r-{number}"), policy=policy, **states)) for number in range(count)]


def test_several_clouds_without_a_weight_are_tried_in_order() -> None:
    assert orders(shared((None, None)), 20) == [[CLOUD, AZURE]] * 20


def test_clouds_with_a_weight_share_the_requests_and_stand_in_for_each_other() -> None:
    found = orders(shared())

    assert {tuple(each) for each in found} == {(CLOUD, AZURE), (AZURE, CLOUD)}
    assert 260 < sum(each[0] == CLOUD for each in found) < 340


def test_a_share_is_told_with_the_reason() -> None:
    decision = plan(ask(), policy=shared())

    assert sorted(attempt.reason for attempt in decision.attempts) == [
        'rule "all" uses cloud first, its weight 1 of 4',
        'rule "all" uses cloud first, its weight 3 of 4',
    ]
    assert {attempt.rank for attempt in decision.attempts} == {0}


def test_one_without_a_weight_stands_apart() -> None:
    assert {tuple(each) for each in orders(shared((1, None)), 40)} == {(CLOUD, AZURE)}


def test_a_weight_of_nothing_drains() -> None:
    decision = plan(ask(), policy=shared((0, 1)))

    assert ids(decision) == [AZURE]
    assert codes(decision)[CLOUD] == "drained"


def test_where_all_are_drained_the_refusal_says_so() -> None:
    refusal = plan(ask(), policy=shared((0, 0), use=["cloud"])).refusal

    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.retry_after) == (503, "no_target", None)
    assert 'its weight for "coder" is 0: it is drained' in refusal.message
    assert "Give it a weight above 0" in refusal.message


def test_a_rule_that_names_a_drained_model_means_it() -> None:
    assert ids(plan(ask(), policy=shared((0, 1), use=[CLOUD]))) == [CLOUD]


def test_one_that_is_paused_leaves_its_part_to_the_others() -> None:
    limited = TargetState(retry_at=NOW + 9, paused_by="limited")

    assert {tuple(each) for each in orders(shared(), 40, cloud=limited)} == {(AZURE,)}


def test_local_models_share_their_place_and_a_busy_one_leaves_it_to_a_free_one() -> None:
    local = [{"model": "qwen2.5-coder:7b", "weight": 1}, {"model": "smollm2", "weight": 1}]
    policy = shared(local=local, use=["local", "cloud"])

    assert {tuple(each[:2]) for each in orders(policy, 60)} == {(LARGE, SMALL), (SMALL, LARGE)}
    assert {each[0] for each in orders(policy, 60, large=BUSY)} == {SMALL}


def test_never_cloud_holds_with_weights() -> None:
    local = [{"model": "qwen2.5-coder:7b", "weight": 2}, {"model": "smollm2", "weight": 1}]
    for number in range(60):
        decision = plan(ask(id=f"r-{number}", tags=frozenset({"private"})), policy=shared(local=local))

        assert {attempt.target.locality for attempt in decision.attempts} == {"local"}


# What holds whatever the file and the moment

words = st.sampled_from(["private", "fast", "deep"])
tags = st.frozensets(words)
environments = st.sampled_from(["dev", "test", "ci", "production"])
conditions = st.fixed_dictionaries(
    {},
    optional={
        "environment": st.lists(environments, min_size=1, max_size=2, unique=True),
        "tags": st.lists(words, min_size=1, max_size=2, unique=True),
        "agent": st.just(["tester"]),
        "larger_than": st.integers(0, 300),
    },
)
rules = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.uuids().map(str),
            "use": st.lists(st.sampled_from(["local", "cloud", SMALL, CLOUD]), min_size=1, max_size=4, unique=True),
            "when": conditions,
        },
        optional={"never": st.sampled_from(["cloud", "local"]), "max_wait": st.sampled_from([0, 5])},
    ),
    min_size=1,
    max_size=4,
)
target_states = st.builds(
    TargetState,
    in_flight=st.integers(0, 3),
    waiting=st.integers(0, 1),
    loaded=st.sampled_from([None, True, False]),
    ready=st.booleans(),
    retry_at=st.sampled_from([0.0, NOW + 1]),
)
asks = st.builds(
    house.request,
    st.sampled_from(["coder", "chat", "smoke-test", "probe", "remote", "smollm2:135m", "unknown", ""]),
    environments,
    tags=tags,
    agent=st.sampled_from([None, "tester"]),
    prompt_tokens=st.integers(0, 100_000),
    needs=st.frozensets(st.sampled_from(["tools", "json", "vision"])),
)


def matches(when: dict[str, Any], asked: RequestInfo) -> bool:
    return (
        ("environment" not in when or asked.environment in when["environment"])
        and ("tags" not in when or bool(asked.tags & set(when["tags"])))
        and ("agent" not in when or asked.agent in when["agent"])
        and asked.prompt_tokens > when.get("larger_than", -1)
    )


def relatives(asked: RequestInfo) -> list[RequestInfo]:
    """The request and others that differ from it in one thing: a policy must not take one for another."""
    replace = msgspec.structs.replace
    return [
        asked,
        *(replace(asked, tags=frozenset(each)) for each in ((), ("private",), ("fast",), ("fast", "deep"))),
        *(replace(asked, prompt_tokens=each) for each in (0, 150, 301)),
        *(replace(asked, environment=each) for each in ("dev", "ci")),
        *(replace(asked, agent=each) for each in (None, "tester")),
    ]


@settings(deadline=None, max_examples=60)
@given(rules, asks, st.tuples(target_states, target_states, target_states))
def test_private_and_never_cloud_hold_under_every_file_and_at_every_moment(
    drawn: list[dict[str, Any]], asked: RequestInfo, known: tuple[TargetState, TargetState, TargetState]
) -> None:
    try:
        policy = house.policy(rules=drawn)
    except ConfigError:
        return  # a contradiction: such a file is never in force
    small, large, cloud = known
    snapshot = Snapshot(now=NOW, states=house.states(small=small, large=large, cloud=cloud))
    for each in relatives(asked):
        decision = decide(each, policy, snapshot)
        never = any(rule.get("never") == "cloud" and matches(rule["when"], each) for rule in drawn)
        if never or "private" in each.tags:
            assert not [one for one in decision.attempts if one.target.locality == "cloud"]
        assert bool(decision.attempts) != bool(decision.refusal)
        assert len(set(ids(decision))) == len(decision.attempts)


@settings(deadline=None, max_examples=60)
@given(rules, asks, target_states)
def test_what_a_policy_remembers_of_one_request_never_changes_another(
    drawn: list[dict[str, Any]], asked: RequestInfo, cloud: TargetState
) -> None:
    try:
        policy = house.policy(rules=drawn)
    except ConfigError:
        return
    snapshot = Snapshot(now=NOW, states=house.states(cloud=cloud))
    for each in relatives(asked):
        assert decide(each, policy, snapshot) == decide(each, Policy(policy.routing, policy.targets), snapshot)


@settings(deadline=None, max_examples=60)
@given(rules, asks, tags)
def test_more_tags_never_lift_what_fewer_forbade(
    drawn: list[dict[str, Any]], asked: RequestInfo, more: frozenset[str]
) -> None:
    try:
        policy = house.policy(rules=drawn)
    except ConfigError:
        return
    snapshot = Snapshot(now=NOW, states=house.states())
    fewer = decide(asked, policy, snapshot)
    tagged = house.request(
        asked.alias, asked.environment, tags=asked.tags | more, agent=asked.agent, prompt_tokens=asked.prompt_tokens
    )

    assert decide(tagged, policy, snapshot).local_only or not fewer.local_only
