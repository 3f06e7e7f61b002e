"""The pieces of a training of try-off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from accelerate import Accelerator

from temu_vtoff.models.feature_extractor import FeatureExtractor
from temu_vtoff.training.aligner import Aligner, VisionFeatures
from temu_vtoff.training.encoding import EncodedBatch
from temu_vtoff.training.initialization import add_lora, load_frozen, load_transformers, new_transformers
from temu_vtoff.training.latent_cache import GARMENT_TOKENS, PICTURES, LatentCache, add_garment_tokens, build_cache
from temu_vtoff.training.live_encoding import LiveEncoding
from temu_vtoff.training.objectives import ExtractorObjective, GeneratorObjective
from temu_vtoff.training.pairs import PairDataset, open_split
from temu_vtoff.training.person_denoiser import PersonDenoiser
from temu_vtoff.training.settings import TrainingSettings
from temu_vtoff.training.setup import Setup
from temu_vtoff.training.validation import Validation
from temu_vtoff.tryoff.pipeline import TryOffPipeline

TRAINED = {  # components of the pipeline, by stage
    "extractor": ("transformer_vton",),
    "generator": ("transformer",),
    "joint": ("transformer", "transformer_vton"),
}


class TryOffSetup(Setup):
    """See `Setup`.

    Attributes:
        vit: The vision transformer to align with; None without alignment.
    """

    validation_class = Validation
    batch_class = EncodedBatch

    def __init__(self, settings: TrainingSettings, accelerator: Accelerator) -> None:
        self.trained = TRAINED[settings.stage]
        super().__init__(settings, accelerator)
        self.vit = None
        if settings.align_weight and settings.stage != "extractor":
            self.vit = VisionFeatures.from_pretrained(settings.align_model, settings.align_size).to(accelerator.device)

    def load_pipeline(self) -> TryOffPipeline:
        settings = self.settings
        parts = load_frozen(**self.frozen_source)
        extractor_class = PersonDenoiser if settings.stage == "extractor" else FeatureExtractor
        extractor_source = settings.pretrained_extractor_name_or_path
        if settings.from_scratch:
            extractor, generator = new_transformers(settings.shape, parts, extractor_class)
            if extractor_source is not None:
                extractor = extractor_class.from_pretrained(extractor_source, subfolder="transformer_vton")
        else:
            extractor, generator = load_transformers(
                extractor_class,
                base=settings.pretrained_model_name_or_path,
                tryoff=settings.pretrained_model_name_or_path_sd3_tryoff,
                extractor_source=extractor_source,
            )
        if settings.lora_rank is not None:
            add_lora(generator, settings.lora_rank)
        if settings.correct_clip_input:
            parts["rescale_clip_input_twice"] = False
        return TryOffPipeline(**parts | {"transformer": generator, "transformer_vton": extractor})

    def make_objective(self) -> ExtractorObjective | GeneratorObjective:
        self.freeze()
        extractor, generator = self.pipeline.transformer_vton, self.pipeline.transformer
        flow = self.settings.flow(self.pipeline.scheduler.config.shift)
        if self.settings.stage == "extractor":
            return ExtractorObjective(extractor, flow)
        aligner = None
        if self.vit is not None:
            aligner = Aligner.for_vision_features(generator, self.vit, self.settings.align_block)
        return GeneratorObjective(extractor, generator, flow, aligner=aligner, align_weight=self.settings.align_weight)

    def open_pairs(self, phase: str) -> PairDataset:
        settings = self.settings
        dataset = open_split(
            settings.dataset_name,
            settings.dataset_root,
            phase,
            size=self.size,
            category=settings.category,
            caption_files=settings.caption_file,
            mask_dir=settings.mask_dir,
        )
        return PairDataset(dataset)

    def encode_live(self, pairs: PairDataset) -> LiveEncoding:
        return LiveEncoding(pairs, self.pipeline, self.vit)

    def cache_parts(self, pairs: PairDataset) -> dict[str, Iterator[int]]:
        parts = {PICTURES: build_cache(pairs=pairs, pipeline=self.pipeline, **self.encoding)}
        if self.vit is not None:
            parts[GARMENT_TOKENS] = add_garment_tokens(pairs=pairs, vit=self.vit, **self.encoding)
        return parts

    def open_cache(self, pairs: PairDataset, parts: Sequence[str]) -> LatentCache:
        return LatentCache(self.settings.cache_dir, parts, self.batch_class)

    def exported(self) -> Sequence[str]:
        return ("transformer_vton",) if self.settings.stage == "extractor" else ("transformer_vton", "transformer")
