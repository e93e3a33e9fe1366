"""The schema by which an API server judges a DaskCluster, as the Dask operator ships it, but strict."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml
from jsonschema import Draft4Validator

_CRD = "deployment/helm/dask-kubernetes-operator/crds/daskcluster.yaml"


def faults(manifest: dict[str, Any]) -> list[str]:
    """What is wrong with a DaskCluster; unknown fields too, which an API server would drop in silence."""
    crd = yaml.safe_load((files("dask_kubernetes.operator") / _CRD).read_text())
    names, version = crd["spec"]["names"], crd["spec"]["versions"][0]
    kind = {"apiVersion": f"{crd['spec']['group']}/{version['name']}", "kind": names["kind"]}
    wrong = [
        f"{key}: {manifest.get(key)!r} is not {value!r}" for key, value in kind.items() if manifest[key] != value
    ]
    schema = {"type": "object", "properties": {"spec": version["schema"]["openAPIV3Schema"]["properties"]["spec"]}}
    validator = Draft4Validator(_strict(schema))
    found = validator.iter_errors({"spec": manifest["spec"]})
    return wrong + [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in found]


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if "properties" in schema and schema.get("type") == "object":
        strict.setdefault("additionalProperties", False)
    return strict
