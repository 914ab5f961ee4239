"""Command lines of neural codecs, from the READMEs of their repositories.

Read at microsoft/DCVC of July 2026 and jzyustc/GLC of December 2025. None was run here: their weights are not ours.
"""

from pathlib import Path

from vov_lightning.evaluation.baselines.external import ExternalCodec


class DcvcDC(ExternalCodec):
    """DCVC-DC (Li, Li, Lu, CVPR 2023), RGB models."""

    key = "dcvc-dc"
    label = "DCVC-DC"
    description = "DCVC-DC (CVPR 2023), the authors' code and weights on RGB frames, one key frame; its streams count."
    where = (
        "clone https://github.com/microsoft/DCVC, give its folder DCVC-family/DCVC-DC, built as its README says, and "
        "cvpr2023_image_psnr.pth.tar and cvpr2023_video_psnr.pth.tar from the link there"
    )

    def arguments(self, quality: int) -> list[str]:
        models = ["--i_frame_model_path", str(self.image_weights), "--p_frame_model_path", str(self.video_weights)]
        return [*models, "--i_frame_q_indexes", str(quality), "--yuv420", "0", "--write_stream", "1"]

    def decoded_path(self, out: Path) -> list[str]:
        return ["--decoded_frame_path", str(out / "frames")]


class DcvcFM(ExternalCodec):
    """DCVC-FM (Li, Li, Lu, CVPR 2024)."""

    key = "dcvc-fm"
    label = "DCVC-FM"
    description = "DCVC-FM (CVPR 2024), the authors' code and weights, one key frame; its streams count."
    where = (
        "clone https://github.com/microsoft/DCVC, give its folder DCVC-family/DCVC-FM, built as its README says, and "
        "cvpr2024_image.pth.tar and cvpr2024_video.pth.tar from the link there"
    )

    def arguments(self, quality: int) -> list[str]:
        models = ["--model_path_i", str(self.image_weights), "--model_path_p", str(self.video_weights)]
        return [*models, *(w for kind in "ip" for w in (f"--q_indexes_{kind}", str(quality))), "--write_stream", "1"]


class DcvcRT(ExternalCodec):
    """DCVC-RT (Jia et al., CVPR 2025); needs a GPU."""

    key = "dcvc-rt"
    label = "DCVC-RT"
    description = "DCVC-RT (CVPR 2025), the authors' code and weights, one key frame; its streams count."
    where = (
        "clone https://github.com/microsoft/DCVC, give its folder DCVC-family/DCVC-RT, built as its README says, and "
        "cvpr2025_image.pth.tar and cvpr2025_video.pth.tar from the link there"
    )

    def arguments(self, quality: int) -> list[str]:
        models = ["--model_path_i", str(self.image_weights), "--model_path_p", str(self.video_weights)]
        options = ["--write_stream", "1", "--force_zero_thres", "0.12", "--reset_interval", "64"]
        return [*models, "--qp_i", str(quality), "--qp_p", str(quality), *options]


class GlcVideo(ExternalCodec):
    """GLC-Video (Qi et al., TCSVT 2025)."""

    key = "glc-video"
    label = "GLC-Video"
    description = (
        "GLC-Video (TCSVT 2025), the authors' code and weights, one key frame; it writes no stream, so its own "
        "estimate of the entropy counts, which favours it."
    )
    where = (
        "clone https://github.com/jzyustc/GLC, install its requirements, and give GLC_image and GLC_video from its "
        "release page"
    )

    def arguments(self, quality: int) -> list[str]:
        models = ["--model_path_i", str(self.image_weights), "--model_path_p", str(self.video_weights)]
        return [*models, "--q_indexes_i", str(quality), "--q_indexes_p", str(quality)]
