"""The hosts of a run, as TensorFlow's TF_CONFIG names them. Imports no framework."""

import json
import os

from scnas_keras.errors import ConfigError

TF_CONFIG = "TF_CONFIG"


def hosts_of_run() -> tuple[list[str], int]:
    """The hosts that train together by the environment variable TF_CONFIG, and which of them this is; none without a cluster in it.

    Raises:
        ConfigError: it makes no sense.
    """
    try:
        content = json.loads(os.environ.get(TF_CONFIG) or "{}")
        if not content.get("cluster"):
            return [], 0
        cluster, (kind, index) = content["cluster"], (content["task"]["type"], int(content["task"]["index"]))
        hosts = [*cluster.get("chief", ()), *cluster.get("worker", ())]
        worker = index if kind == "chief" else len(cluster.get("chief", ())) + index
        if kind not in ("chief", "worker") or not 0 <= worker < len(hosts):
            raise ValueError(f"no host {kind} {index}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f'{TF_CONFIG}: can\'t be used ({error}). Expected, with every host\'s own index from 0, {{"cluster": {{"worker": '
            '["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}.'
        ) from error
    return hosts, worker
