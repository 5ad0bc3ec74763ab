"""The faults, what is promised when they happen, and the tests that show it; and the page made from their last run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong, what is promised then, and the name of the test function."""

    what: str
    promise: str
    test: str


FAULTS: Mapping[str, tuple[Fault, ...]] = {
    "The server": (
        Fault(
            "`kill -9` while a fork is fetched",
            "no process is left, and the next start builds",
            "test_kill__while_fetching",
        ),
        Fault(
            "`kill -9` while a fork is built",
            "no process is left, the mirror is good, the next start builds",
            "test_kill__while_building",
        ),
        Fault(
            "`kill -9` at any moment of a build",
            "what is visible is whole; devpi-fsck finds nothing",
            "test_kill__at_any_moment",
        ),
        Fault(
            "`kill -9` before a release is whole",
            "nothing of it is served; it is asked for again",
            "test_kill__nothing_of_it_is_served",
        ),
        Fault(
            "SIGTERM with a running build, a queue and held requests",
            "every held page ends complete; the queue goes on later",
            "test_sigterm__with_a_running_build_and_a_queue",
        ),
        Fault("a restart", "failures are not forgotten", "test_sigterm__of_what_failed_nothing_is_forgotten"),
        Fault(
            "leftovers of a build that nested folders",
            "the server starts, and removes them",
            "test_start__after_a_build_that_nested_folders",
        ),
        Fault(
            "a process of a killed server's build that cannot be ended",
            "the server starts and builds",
            "test_start__while_a_process_of_a_build_cannot_be_ended",
        ),
        Fault("`records.sqlite` is damaged", "it is set aside, and devpi starts", "test_open__damaged_is_set_aside"),
        Fault(
            "clocks that are years off",
            "forks are built and installed; devpi's own logins last as long as ever",
            "test_clock__of_a_server_is_years_off",
        ),
        Fault(
            "a replica's clock is 20 seconds behind",
            "misses at it are built and served",
            "test_clock__of_a_replica_is_behind",
        ),
    ),
    "Disks": (
        Fault(
            "the disk is full while a release is stored",
            "nothing partial is seen; it is tried again when there is room",
            "test_disk_full__nothing_is_seen_and_the_build_is_tried_again",
        ),
        Fault(
            "`up` starts on a full disk, or on one without inodes",
            "what is built is served, builds say why they wait, and go on when there is room",
            "test_start__on_a_full_disk",
        ),
        Fault(
            "the disk is filled by caches and leftovers",
            "`gc` makes room beside the running server, and everything is served as before",
            "test_gc__brings_a_full_disk_back_and_loses_nothing",
        ),
        Fault("the disk is full while a fork is built", "the server's fault, not the fork's", "test_build__full_disk"),
        Fault(
            "the disk is full while a fork is fetched", "the server's fault, and tried again", "test_fetch__full_disk"
        ),
        Fault(
            "the disk is full for a build's log",
            "the log is lost, the build is not",
            "test_log__full_disk_is_no_failure",
        ),
        Fault("a mirror is damaged", "it is fetched anew", "test_fetch__damaged_mirror_is_fetched_again"),
    ),
    "Git hosts": (
        Fault(
            "a git host refuses, hangs, trickles, ends in mid-pack, sends garbage, or is none",
            "the state names the cause; what may pass is tried again",
            "test_source__bad_hosts",
        ),
        Fault(
            "a git host misbehaves below the protocol",
            "each way has an end and a message",
            "test_fetch__host_that_misbehaves",
        ),
        Fault("a transfer is cut in mid-pack", "nothing of it stays on the disk", "test_fetch__cut_in_mid_pack"),
        Fault("a repository sends more than allowed", "the transfer is ended", "test_fetch__has_an_end_in_size"),
        Fault("a repository is not there", "installers print so", "test_source__repository_missing"),
        Fault("a commit is not there", "the state says so", "test_source__commit_missing"),
    ),
    "The public index": (
        Fault(
            "it refuses, answers 500 or 404, hangs, or cuts files",
            "named as trouble with the index, and heals by itself",
            "test_index_faults__infrastructure_named_and_healed",
        ),
        Fault(
            "upstream of a cache hangs, cuts its pages, or sends what is none",
            "no page, never 500, 404 or an empty one: installers end with an error",
            "test_chained__upstream_misbehaves",
        ),
        Fault(
            "a mirror's upstream is silent",
            "the page ends with an error, not with an empty list",
            "test_mirror__silent_upstream_is_a_bad_gateway",
        ),
    ),
    "Replicas": (
        Fault(
            "the primary is away",
            "what is built is served; misses say so",
            "test_primary_dead__what_is_built_is_served_and_misses_say_so",
        ),
        Fault(
            "the primary is away, then back",
            "it is left alone, and found again",
            "test_primary_dead__is_left_alone_after_a_few_failures_and_found_again",
        ),
        Fault(
            "the primary is stopped (SIGSTOP)",
            "a miss is answered within seconds",
            "test_primary_frozen__a_miss_is_answered_within_seconds",
        ),
        Fault(
            "the primary is killed during a build",
            "waiting clients get their wheel",
            "test_primary_killed_during_a_build__the_waiting_clients_get_their_wheel",
        ),
        Fault(
            "a replica is killed during replication",
            "it ends equal to the primary",
            "test_replica_killed_during_replication__ends_equal_to_the_primary",
        ),
        Fault(
            "the cable is pulled during a build",
            "the client waits and gets its wheel",
            "test_cable_pulled_during_a_build__the_client_waits_and_gets_its_wheel",
        ),
        Fault(
            "the cable is pulled for longer than a client is kept",
            "the replica ends equal",
            "test_cable_pulled_for_longer_than_a_client_is_kept__the_replica_ends_equal",
        ),
        Fault(
            "pins are made while the network is cut",
            "the replica tells what it knew, and catches up",
            "test_pinned_while_the_network_is_cut__the_replica_tells_what_it_knew_and_catches_up",
        ),
        Fault(
            "the primary is restored from an older backup",
            "the replica notices, and says so",
            "test_restored_primary__with_as_many_changes_as_before",
        ),
    ),
    "Clients and builds": (
        Fault(
            "clients leave while they wait",
            "the build goes on, and the server answers",
            "test_clients_that_leave__the_build_goes_on_and_the_server_answers",
        ),
        Fault(
            "builds that hang, flood, fork and fill",
            "others are served meanwhile",
            "test_server__with_hostile_forks_serves_the_others",
        ),
        Fault(
            "everything at once, at random, for minutes (the soak)",
            "each file matches its commit and hash; no key is built twice at once; descriptors and memory come back",
            "test_soak__random_faults",
        ),
    ),
}

HEAD = """# Faults

What goes wrong, what is promised then, and what the tests show. `pytest --faults` runs these tests on real servers and
writes this page; *result* is from the last run of that test: `held`, with the number of cases, `failed`, or `not run`
and why. A run of some of the tests (`pytest --faults -k clock`) leaves the other rows as they were.
"""
NAMES = frozenset(fault.test for faults in FAULTS.values() for fault in faults)


def page(outcomes: Iterable[tuple[str, str]], reasons: Mapping[str, str], before: str = "") -> str:
    """Return the page.

    `outcomes` are names of test functions with what each case came to (`passed`, `failed`, `skipped`); a test without
    any has the result that it has in `before`, the page of an earlier run.
    """
    counts: dict[str, Counter[str]] = {}
    for name, outcome in outcomes:
        counts.setdefault(name, Counter())[outcome] += 1
    results = results_of(before) | {name: result_of(found, reasons.get(name, "")) for name, found in counts.items()}
    lines = [HEAD]
    for part, faults in FAULTS.items():
        lines.append(f"## {part}\n\n| fault | promise | test | result |\n|---|---|---|---|")
        lines += [
            f"| {fault.what} | {fault.promise} | `{fault.test}` | {results.get(fault.test, 'not run')} |"
            for fault in faults
        ]
        lines.append("")
    return "\n".join(lines)


def results_of(text: str) -> dict[str, str]:
    """Return the last cell of each row of a page, by the name of its test."""
    return dict(re.findall(r"\| `(test_\w+)` \| (.*) \|$", text, re.MULTILINE))


def result_of(found: Mapping[str, int], reason: str) -> str:
    """One cell."""
    failed, passed = found.get("failed", 0), found.get("passed", 0)
    if failed:
        return f"**failed** ({failed} of {failed + passed})"
    if not passed:
        return f"not run: {reason}" if reason else "not run"
    return f"held ({passed} cases)" if passed > 1 else "held"
