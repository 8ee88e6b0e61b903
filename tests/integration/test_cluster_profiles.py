"""Link profiles: names, files, overrides, and what is refused."""

from pathlib import Path

import pytest

from cluster.profiles import (
    TRACES_DIR,
    LinkProfile,
    ProfileError,
    load_profiles,
    load_schedule,
    profile_from_json,
    with_link_spec,
)

A_TRACE = "3g/2010-09-28_1407CEST"


def test_the_demo_has_three_unequal_links_that_repeat() -> None:
    profiles = load_profiles("demo", 4)
    assert [(p.rate_mbps, p.rtt_ms) for p in profiles] == [(20, 20), (10, 40), (5, 80), (20, 20)]


def test_the_original_has_no_ranges_and_cuts_after_15_s() -> None:
    assert load_profiles("original", 1) == [LinkProfile(no_range=True, cut_response_after_sec=15)]


def test_a_file_gives_one_link_a_table(tmp_path: Path) -> None:
    path = tmp_path / "links.toml"
    path.write_text(f'[[node]]\nrate_mbps = 3\nrtt_ms = 9\n[[node]]\ntrace = "{A_TRACE}"\n')
    assert load_profiles(str(path), 2) == [
        LinkProfile(rate_mbps=3.0, rtt_ms=9.0),
        LinkProfile(trace=A_TRACE),
    ]


def test_an_override_changes_only_what_it_names() -> None:
    changed = with_link_spec(load_profiles("demo", 1)[0], "rtt=80,jitter=5,cut=15", "--link 1")
    assert changed == LinkProfile(
        rate_mbps=20.0, rtt_ms=80.0, jitter_ms=5.0, cut_response_after_sec=15.0
    )


def test_a_trace_replaces_the_rate() -> None:
    changed = with_link_spec(LinkProfile(rate_mbps=20.0), f"trace={A_TRACE},offset=30", "--link 1")
    assert changed == LinkProfile(trace=A_TRACE, trace_offset_sec=30.0)


def test_a_profile_survives_its_text_forms() -> None:
    profile = LinkProfile(
        trace=A_TRACE, rtt_ms=7.5, no_range=True, cut_response_after_sec=2.0, slow_start=True
    )
    assert profile_from_json(profile.as_json()) == profile
    assert with_link_spec(LinkProfile(), profile.as_link_spec(), "--link 1") == profile


@pytest.mark.parametrize("path", sorted(TRACES_DIR.glob("*/*.json")), ids=lambda path: path.stem)
def test_every_trace_can_be_played(path: Path) -> None:
    schedule = load_schedule(LinkProfile(trace=f"{path.parent.name}/{path.stem}"))
    assert schedule is not None
    assert schedule.bytes_until(600.0) > 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rate=0", "rate_mbps must be 0.01 to 100000"),
        ("rate=fast", "rate_mbps must be 0.01 to 100000, got 'fast'"),
        ("rate=nan", "rate_mbps must be"),
        ("rtt=-1", "rtt_ms must be 0 to 10000"),
        ("cut=0", "cut_response_after_sec must be 0.1 to 3600"),
        ("no_range=maybe", "no_range must be true or false"),
        ("slow_start=1", "slow_start must be true or false"),
        ("colour=red", "cannot read 'colour=red'; accepted fields: rate"),
        ("trace=5g/none", "trace '5g/none' not found"),
        (f"rate=1,trace={A_TRACE}", "rate_mbps and trace exclude each other"),
    ],
)
def test_a_bad_override_is_refused_by_name(spec: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        with_link_spec(LinkProfile(), spec, "--link 1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"expected at least one \[\[node\]\] table"),
        ("node = 3", r"expected at least one \[\[node\]\] table"),
        ("[[node]]\nrate = 3", "node 1: unknown field 'rate'"),
        ("[[node]]\nrtt_ms = true", "node 1: rtt_ms must be 0 to 10000, got True"),
        ("[[node]", "links.toml: "),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "links.toml"
    path.write_text(text)
    with pytest.raises(ProfileError, match=message):
        load_profiles(str(path), 1)


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ProfileError, match="accepted: unshaped, demo, original or the path"):
        load_profiles("fibre", 1)
