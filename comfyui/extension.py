"""What ComfyUI asks a custom node for."""

from comfy_api.latest import ComfyExtension, io

from .finish import FinishGarment
from .load import LoadTemuVtoff
from .take_off import CaptionGarment, SegmentGarment, TryOffNode
from .try_on import TryOnNode


class TemuVtoffExtension(ComfyExtension):
    """All nodes, in the order of a workflow."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [LoadTemuVtoff, SegmentGarment, CaptionGarment, TryOffNode, TryOnNode, FinishGarment]


async def comfy_entrypoint() -> ComfyExtension:
    return TemuVtoffExtension()
