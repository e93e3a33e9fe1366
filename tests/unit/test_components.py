"""Parts of the page that run in the browser keep what they know under names that Panel does not use itself."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from panel.custom import JSComponent

from deeptracker.app.address import Address
from deeptracker.app.chips import Chips
from deeptracker.app.controls import Controls
from deeptracker.app.event_list import EventList
from deeptracker.app.sight import Sight
from deeptracker.app.tree import Tree


class Plain(JSComponent):
    """Nothing of ours."""

    _esm = "export function render() {}"


@pytest.mark.parametrize("kind", [Address, Chips, Controls, EventList, Sight, Tree])
def test_components__no_attribute_is_one_of_panels(kind: Any) -> None:
    assigned = [line.split(" = ")[0] for line in inspect.getsource(kind).splitlines() if " = " in line]
    own = {name for left in assigned for name in re.findall(r"self\.(\w+)", left)} - set(kind.param)
    taken = {name for name in own if hasattr(Plain(), name)}
    assert not taken
