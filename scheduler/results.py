"""What reports of workers mean: progress, ended ranges, verdicts on chunks.

No I/O, no clock, no randomness but the schedule's own `rng`.
"""

from __future__ import annotations

from common.messages import (
    ChunkFinished,
    ChunkVerdict,
    CloseChunk,
    DiscardRange,
    JobProgress,
    RangeFinished,
    RangeOutcome,
    Transfer,
)
from common.units import megabits_per_sec, short_node
from scheduler import assignment, bodies, lanes, timing
from scheduler.commands import Announce, Command, PublishTransfer, PublishVerdict
from scheduler.schedule import Schedule
from scheduler.selection import MIN_RATE_SAMPLE_BYTES, NODE_FAULTS, SILENCE_FLOOR_SEC, Node
from scheduler.wanted import WHOLE, Job, Wanted

# Less than this, or than a quarter of what was asked for, is no answer.
MIN_PROGRESS_BYTES = 2 * 1024


def on_progress(
    schedule: Schedule,
    worker_id: str,
    running: tuple[JobProgress, ...],
    now_sec: float,
    commands: list[Command],
) -> None:
    """Fold what running ranges have brought so far."""
    heard: dict[Node, None] = {}
    shared: dict[Wanted, None] = {}
    for progress in running:
        job = schedule.jobs.get(progress.job_id)
        if job is None or job.chunk.worker_id != worker_id:
            continue
        schedule.stirred[job.node_url] = None
        node = schedule.nodes.node(job.node_url)
        if progress.range_honoured is not None and job.headed_sec is None:
            node.heard()
            _on_head(schedule, job, progress.range_honoured, now_sec)
            # It names the byte that was asked for, and no byte has come yet.
            continue
        if progress.received_bytes > job.received_bytes:
            # A prefix read through is a sign of life, too.
            node.heard()
            job.received_bytes, job.progress_sec = progress.received_bytes, now_sec
        until = min(progress.received_until_bytes, job.end)
        if job.whole_body:
            # A report from before the answer's head still tells of the offset that was asked for.
            until = min(until, progress.received_bytes)
        if until <= job.received_until:
            continue
        fresh = until - job.received_until
        job.chunk.parts[job.part].add(job.received_until, until, job.node_url)
        known = (job.flowing, job.paced)
        job.received_until, job.progress_sec = until, now_sec
        node.heard()
        timing.measure(job, node, fresh, now_sec)
        heard[node] = None
        if known != (True, job.paced):
            schedule.changed[job.chunk] = None
        if job.whole_body or len(job.chunk.jobs) > 1:
            shared[job.chunk] = None
    for node in heard:
        measured = node.measured
        timing.sample(node, now_sec)
        if node.measured and not measured:
            jobs = schedule.jobs_at(node.node_url)
            schedule.changed.update((job.chunk, None) for job in jobs)
    # With the rates of all nodes heard of: who ends where depends on them.
    for chunk in shared:
        _settle(schedule, chunk, now_sec, commands)


def _on_head(schedule: Schedule, job: Job, honoured: bool, now_sec: float) -> None:
    """The answer begins; without `Range` it is the whole part, whatever was asked for, and the worker reads it all."""
    job.headed_sec = job.progress_sec = now_sec
    schedule.changed[job.chunk] = None
    schedule.nodes.node(job.node_url).accepts_ranges = honoured
    if honoured or job.whole_body:
        return
    job.whole_body = job.chunk.tangled = True
    job.start = job.received_until = 0
    job.end = job.chunk.parts[job.part].size


def _settle(schedule: Schedule, chunk: Wanted, now_sec: float, commands: list[Command]) -> None:
    """End ranges whose bytes others bring sooner."""
    if not any(job.whole_body for job in chunk.jobs.values()):
        return
    sources = assignment.usable_sources(chunk, schedule.nodes, now_sec, urgent=True)
    for job, end in bodies.settle(chunk, sources, schedule.nodes, now_sec):
        if end > job.received_until:
            schedule.resize(job, end, commands)
        else:
            schedule.cancel(job, commands)


def on_range(
    schedule: Schedule, done: RangeFinished, now_sec: float, commands: list[Command]
) -> None:
    job = schedule.jobs.get(done.job_id)
    dropped = schedule.afterwards.pop(done.job_id, None)
    if dropped is not None:
        schedule.accounts.received(dropped.session_id, done.received_bytes)
    if job is None or job.chunk.worker_id != done.worker_id:
        return
    chunk, node = job.chunk, schedule.nodes.node(job.node_url)
    news = _brings_news(job, done)
    until = max(job.received_until, min(done.received_until_bytes, chunk.parts[job.part].size))
    chunk.parts[job.part].add(job.received_until, until, job.node_url)
    if until > job.end:
        # Others were asked for these already.
        chunk.tangled = True
    if until > job.received_until:
        fresh, job.received_until = until - job.received_until, until
        timing.measure(job, node, fresh, now_sec)
        if not lanes.share_a_link(schedule.jobs_at(job.node_url)):
            # Else bytes of the others, which are reported later, would be missing.
            timing.sample(node, now_sec)
    schedule.end_job(job)
    schedule.accounts.range_ended(chunk.session_id, done, node)
    busy_sec = max(0.0, done.duration_sec - (done.first_byte_sec or 0.0))
    goodput = None
    if done.received_bytes >= MIN_RATE_SAMPLE_BYTES and busy_sec > 0:
        goodput = megabits_per_sec(done.received_bytes, busy_sec)
        if job.rate_mbps is None or node.rate.value_mbps is None:
            node.rate.add(goodput)
    if done.first_byte_sec is not None:
        node.note_first_byte(done.first_byte_sec)
    if done.received_bytes:
        node.last_data_sec = now_sec
    if done.range_honoured is not None:
        node.accepts_ranges = done.range_honoured
    commands.append(
        PublishTransfer(
            Transfer(
                node_url=job.node_url,
                session_id=chunk.session_id,
                chunk_id=chunk.spec.chunk_id,
                outcome=done.outcome,
                size_bytes=done.received_bytes,
                first_byte_sec=done.first_byte_sec,
                busy_sec=busy_sec,
                goodput_mbps=goodput,
                range_honoured=done.range_honoured,
                sequence_num=chunk.spec.sequence_num,
                part=job.part,
                start_bytes=job.start,
                received_until_bytes=until,
                end_bytes=job.end,
                worker_id=done.worker_id,
            )
        )
    )
    if job.whole_body and done.outcome in ("short", "complete"):
        node.note_body(done.duration_sec, now_sec, cut=done.outcome == "short")
    goes_on = done.outcome in ("complete", "cancelled") or _worth_asking_again(job, done)
    if not goes_on:
        detail = done.detail or done.outcome
        _on_failure(schedule, job, done.outcome, detail, done.retry_after_sec, now_sec, commands)
    elif news:
        node.heard()
        if done.outcome == "complete" and node.breaker.success():
            name = short_node(node.node_url)
            commands.append(Announce(chunk.session_id, "recovered", f"{name} is back"))
    elif (not job.flowing or timing.is_quiet(job, now_sec)) and node.brought_nothing(
        job.progress_sec, now_sec
    ):
        # Others took over what it owed. Its silence counts all the same, or it would be asked again and again.
        _on_failure(schedule, job, "silent", "is silent", None, now_sec, commands)
    if chunk.complete:
        chunk.verifying_sec = now_sec


def _worth_asking_again(job: Job, done: RangeFinished) -> bool:
    """Whether an answer that ended early brought enough to go on at the same node, at the byte it came to."""
    enough = max(MIN_PROGRESS_BYTES, (job.end - job.start) // 4)
    return done.outcome == "short" and not job.whole_body and done.received_bytes >= enough


def _brings_news(job: Job, done: RangeFinished) -> bool:
    """Whether the end of a range tells of bytes, or of an answer, that no report told of before."""
    answered = done.first_byte_sec is not None and job.headed_sec is None
    return (
        answered
        or done.received_bytes > job.received_bytes
        or done.received_until_bytes > job.received_until
    )


def _on_failure(
    schedule: Schedule,
    job: Job,
    outcome: RangeOutcome,
    detail: str,
    retry_after_sec: float | None,
    now_sec: float,
    commands: list[Command],
) -> None:
    chunk, node = job.chunk, schedule.nodes.node(job.node_url)
    if job.node_url not in chunk.excluded:
        # Two ranges may fail at one node; the chunk leaves it once.
        chunk.failed_at = job.node_url
    chunk.exclude(job.node_url, now_sec)
    chunk.last_fault = "missing" if outcome == "missing" else "unreachable"
    chunk.last_detail = f"{short_node(job.node_url)}: {detail}"
    # From here on its silence is the breaker's matter.
    node.heard()
    if outcome == "silent":
        _give_back(schedule, node.node_url, now_sec, commands)
    if outcome in NODE_FAULTS and node.breaker.failure(
        outcome, now_sec, schedule.rng, retry_after_sec
    ):
        wait_sec = (node.breaker.open_until_sec or now_sec) - now_sec
        commands.append(
            Announce(
                chunk.session_id,
                "suspended",
                f"{short_node(node.node_url)} suspended for {wait_sec:.1f} s: {detail}",
            )
        )


def _give_back(schedule: Schedule, node_url: str, now_sec: float, commands: list[Command]) -> None:
    """A node fell silent on one range: its other quiet ranges need not wait for their own silence."""
    for job in schedule.jobs.values():
        if job.cancelled or job.node_url != node_url:
            continue
        if now_sec - job.progress_sec > SILENCE_FLOOR_SEC / 2:
            job.chunk.exclude(node_url, now_sec)
            schedule.cancel(job, commands)


def on_chunk(
    schedule: Schedule, done: ChunkFinished, now_sec: float, commands: list[Command]
) -> None:
    chunk = schedule.by_lease(done.lease_id)
    dropped = schedule.afterwards.pop(done.lease_id, None)
    if dropped is not None and done.verdict == "delivered":
        # The buffer had it sooner than we heard of it.
        schedule.accounts.delivered(dropped.session_id, dropped.spec.size_bytes)
    if chunk is None or chunk.worker_id != done.worker_id:
        return
    schedule.touched[chunk.session_id] = schedule.changed[chunk] = None
    if done.verdict == "delivered":
        if chunk.accused:
            # It failed before the suspect's bytes were replaced and matches now.
            schedule.nodes.node(chunk.accused).offences += 1
            name = short_node(chunk.accused)
            text = f"chunk {chunk.spec.sequence_num}: wrong bytes from {name}, right without them"
            commands.append(Announce(chunk.session_id, "corrupt", text))
        schedule.accounts.delivered(chunk.session_id, chunk.spec.size_bytes)
        commands.append(_verdict(chunk, done, "", certain=False))
        schedule.deliver(chunk, now_sec, commands)
        return
    part = done.corrupt_part if done.corrupt_part in chunk.parts else WHOLE
    affected = [part] if part in chunk.parts else list(chunk.parts)
    if not (chunk.parts[part].complete if part in chunk.parts else chunk.complete):
        # Said twice: the bytes it speaks of were discarded already.
        return
    chunk.verifying_sec = None
    schedule.accounts.corrupt(chunk.session_id)
    chunk.vote(part)
    found = chunk.next_suspect(part)
    commands.append(_verdict(chunk, done, *(found or ("", False))))
    if found is None:
        _start_over(schedule, chunk, commands)
        return
    suspect, certain = found
    if certain:
        schedule.nodes.node(suspect).offences += 1
        # Whoever was suspected before may have been innocent.
        chunk.clear_suspicions()
    else:
        chunk.suspect(suspect)
    chunk.banned.add(suspect)
    chunk.failed_at = suspect
    chunk.last_fault = "integrity"
    chunk.last_detail = f"{short_node(suspect)} sent wrong bytes"
    for index in affected:
        for span in chunk.parts[index].contributions:
            if span.node_url == suspect:
                chunk.parts[index].remove(span.start, span.end)
                discard = DiscardRange(
                    lease_id=chunk.lease_id, part=index, start_bytes=span.start, end_bytes=span.end
                )
                schedule.send(chunk, discard, commands)
    name = short_node(suspect)
    commands.append(
        Announce(
            chunk.session_id,
            "corrupt",
            f"chunk {chunk.spec.sequence_num}: "
            + (f"wrong bytes from {name}" if certain else f"wrong bytes, perhaps from {name}")
            + ", fetched again",
        )
    )


def _verdict(chunk: Wanted, done: ChunkFinished, suspect_url: str, certain: bool) -> PublishVerdict:
    return PublishVerdict(
        ChunkVerdict(
            session_id=chunk.session_id,
            chunk_id=chunk.spec.chunk_id,
            sequence_num=chunk.spec.sequence_num,
            worker_id=done.worker_id,
            verdict=done.verdict,
            corrupt_part=done.corrupt_part,
            suspect_url=suspect_url,
            certain=certain,
            ranges=done.ranges,
        )
    )


def _start_over(schedule: Schedule, chunk: Wanted, commands: list[Command]) -> None:
    """Every contributor was replaced and it still does not match: forget all bytes."""
    chunk.last_fault, chunk.last_detail = "integrity", "no combination of replicas matches"
    chunk.banned |= chunk.node_urls()
    schedule.send(chunk, CloseChunk(lease_id=chunk.lease_id), commands)
    schedule.release(chunk)
    chunk.reset_parts()
