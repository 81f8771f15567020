# SPDX-License-Identifier: Apache-2.0
"""Manifests of pods, quotas and jobs, and what is written on pods."""

RESOURCES = {"gpus": "nvidia.com/gpu", "mem": "nvidia.com/gpumem", "pct": "nvidia.com/gpumem-percentage",
             "cores": "nvidia.com/gpucores", "priority": "nvidia.com/priority"}


def nvidia_limits(**amounts):
    """nvidia_limits(gpus=1, mem=3000) are limits by their resource names."""
    return {RESOURCES[key]: str(amount) for key, amount in amounts.items()}


def container(name="main", limits=None, **more):
    limits = {key: str(amount) for key, amount in (limits or {}).items()}
    return {"name": name, "image": "none", "resources": {"limits": limits} if limits else {}, **more}


def pod(name, limits=None, containers=None, init=None, annotations=None, labels=None, spec=None, **amounts):
    """A pod with one container unless containers says otherwise; amounts are NVIDIA's (gpus, mem, pct, cores)."""
    containers = containers or [container(limits={**nvidia_limits(**amounts), **(limits or {})})]
    body = {"terminationGracePeriodSeconds": 0, "containers": containers, **({"initContainers": init} if init else {}), **(spec or {})}
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "annotations": annotations or {}, "labels": labels or {}}, "spec": body}


def quota(name, **hard):
    """quota("q", **{"limits.nvidia.com/gpumem": 4000})"""
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name},
            "spec": {"hard": {key: str(value) for key, value in hard.items()}}}


def job(name, count, **amounts):
    template = pod("unused", **amounts)
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
            "spec": {"parallelism": count, "completions": count,
                     "template": {"metadata": {"annotations": {}}, "spec": {**template["spec"], "restartPolicy": "Never"}}}}


def annotation(pod, key):
    return pod["metadata"].get("annotations", {}).get(key)


def slots(text):
    """A device annotation as one list of (uuid, type, mem, cores) per container, init containers first."""
    result = []
    for slot in text.split(";")[:-1]:
        fields = [device.split(",") for device in slot.split(":") if device]
        result.append([(uuid, type, int(mem), int(cores)) for uuid, type, mem, cores in fields])
    return result


def devices(pod, key="hami.io/vgpu-devices-allocated"):
    """What the pod was given, by container; empty when nothing."""
    return slots(annotation(pod, key) or "")


def cards(pod, key="hami.io/vgpu-devices-allocated"):
    return [uuid for slot in devices(pod, key) for uuid, _, _, _ in slot]


def condition(pod, type="PodScheduled"):
    return next((c for c in pod["status"].get("conditions", []) if c["type"] == type), {})
