"""Take a video out of a V-Stack: first its metadata, so that nothing refers to missing bytes."""

from collections.abc import Iterable

from cluster.client import Answer, CallError, call
from cluster.state import ClusterError, UsageError

_CALL_LIMIT_SEC = 30.0
_DELETE_LIMIT_SEC = 5.0


def remove_video(metadata_url: str, video_id: str) -> list[str]:
    """Forget a video, then delete its bytes; return what could not be deleted, a line each.

    A V-Stack that does not know DELETE has its video marked as deleted instead.
    """
    manifest = must_call("GET", f"{metadata_url}/manifest/{video_id}")
    answer = must_call("DELETE", f"{metadata_url}/video/{video_id}")
    body = answer.json()
    objects: list[tuple[str, str]] = []
    if answer.status < 300 and isinstance(body, dict):
        objects = [(str(row["node_url"]), str(row["object_id"])) for row in body["objects"]]
    elif manifest.status == 200:
        objects = _manifest_objects(manifest.json())
        url = f"{metadata_url}/video/{video_id}/status"
        answer = must_call("PATCH", url, json_body={"status": "deleted"})
    if answer.status == 404:
        raise UsageError(f"no video {video_id!r}")
    if answer.status >= 300:
        raise ClusterError(f"video {video_id} cannot be removed: {answer.detail()}")
    return delete_objects(objects)


def _manifest_objects(manifest: dict[str, list[dict[str, object]]]) -> list[tuple[str, str]]:
    objects: list[tuple[str, str]] = []
    for chunk in manifest["chunks"]:
        replicas = chunk.get("replicas")
        fragments = chunk.get("fragments")
        for url in replicas if isinstance(replicas, list) else ():
            objects.append((str(url), str(chunk["chunk_id"])))
        for row in fragments if isinstance(fragments, list) else ():
            objects.append((str(row["node_url"]), str(row["fragment_id"])))
    return objects


def delete_objects(objects: Iterable[tuple[str, str]]) -> list[str]:
    """Delete (node URL, object id) pairs; return what could not be deleted, a line each."""
    failures: list[str] = []
    unreachable: set[str] = set()
    for url, object_id in objects:
        if url in unreachable:
            failures.append(f"{object_id} on {url}")
            continue
        try:
            path = f"{url}/chunk/{object_id}"
            if call("DELETE", path, timeout_sec=_DELETE_LIMIT_SEC).status not in (200, 204, 404):
                failures.append(f"{object_id} on {url}")
        except CallError:
            unreachable.add(url)
            failures.append(f"{object_id} on {url}")
    return failures


def must_call(
    method: str,
    url: str,
    *,
    data: bytes | None = None,
    json_body: object = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Call and turn a missing answer into a ClusterError."""
    try:
        return call(
            method,
            url,
            data=data,
            json_body=json_body,
            headers=headers,
            timeout_sec=_CALL_LIMIT_SEC,
        )
    except CallError as error:
        raise ClusterError(str(error)) from error
