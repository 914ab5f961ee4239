"""What each command says of itself: examples, and a table of the settings that people use. Add a row to show another.

Imports nothing heavy: this is all that ``--help`` needs.
"""

from vov_lightning.cli.help import Command, Setting

HELP = Setting("-h, --help", "These lines.")
BASE = Setting("--base", "Base model by registered name or class path, in place of the file's own.", "NAME")
DEVICE = Setting("--device", "Where the base model runs: cpu, cuda, cuda:1 ...", default="cpu")

FIT = Command(
    "vov-fit",
    "vov-fit [CLIP] --config FILE [--SETTING VALUE ...]",
    """Compress videos or images into .vov files by fitting each with a frozen generative model.

  vov-fit --config nano.yaml                            the bundled clip with the bundled model, on a CPU
  vov-fit my_clip.mp4 --config nano.yaml                your own clip
  vov-fit --config nano.yaml --scaling.target_bpp 0.01  a smaller file
  vov-fit --config nano.yaml --scaling.target_bpp 0.2   index bits up to that rate
  vov-fit --config nano.yaml --data.caption "dim, blue"  your own words; a file of them: --data.caption_file
  vov-fit --data.captioner.help EndpointCaptioner       a caption from a vision-language model; also LocalCaptioner
  vov-fit --config ltx_video.yaml --data.path a.mp4     another base model, on a GPU
  vov-fit --config vector.yaml --data.paths "[a.mp4, b.mp4]"   one vector for both, each from its own caption
  vov-fit --config vector.yaml --drift.every_n_iterations 20   how far unrelated prompts drift meanwhile
  vov-fit --config nano.yaml --set FOLDER               every clip of a folder, into runs/FOLDER/<clip>/
  vov-fit --config uvg.yaml --part 2/8                  a set shared by 8 GPUs: this one takes every 8th clip
  vov-fit --config uvg.yaml --dry_run                   the same in a minute, without weights: is everything right,
                                                        and what will it cost?
  vov-fit --config uvg.yaml --launcher ray              a set on every GPU of a Ray cluster; slurm: as an array of jobs
  vov-fit --set FOLDER --status                         what is done, who works on what, what is left
  vov-fit --config nano.yaml --print_config             every setting and its default

The result lies in runs/<name>/. The same command goes on with an interrupted run or set.""",
    (
        HELP,
        Setting(
            "-c, --config", "Settings in YAML: a file, or a shipped one by name; several: the last one wins.", "FILE"
        ),
        Setting("--data.path", "Video, image or folder of frames; also as the first word.", "CLIP", "sample"),
        Setting("--data.frames", "Number of frames; null for all.", "N", "null"),
        Setting("--data.height", "Rows, or source for the clip's own; null for what suits the model.", "N", "null"),
        Setting("--data.width", "Columns, which cuts the picture to that shape; null to follow.", "N", "null"),
        Setting("--data.audio", "The sound: copy, opus (32 kbit/s) or none.", "MODE", "copy"),
        Setting("--data.caption", "What the clip shows; null for the base model's own captioner.", "TEXT", "null"),
        Setting("--set", "Folder of clips to fit one after the other.", "FOLDER", "null"),
        Setting("--launcher", "Share the set among machines: ray, slurm; settings: launch.", "NAME", "null"),
        Setting("--status", "Where every clip of the set is; nothing else happens.", default="false"),
        Setting("--name", "Name of the run; null for the clip's.", default="null"),
        Setting("--runs", "Folder of the runs.", "FOLDER", "runs"),
        Setting("--overwrite", "Start again where the run exists.", default="false"),
        Setting("--dry_run", "Check everything in a minute, keep nothing.", default="false"),
        Setting("--model.base", "Base model: nano, wan2.1-t2v-1.3b ..., or a class path.", "NAME"),
        Setting(
            "--model.adapter.k",
            "Length of the vector: longer is better and larger; null for 4096 under a hash.",
            "N",
            "null",
        ),
        Setting("--model.sampler.steps", "Denoising steps of the decoder.", "N", "25"),
        Setting("--stage1.iterations", "Iterations without regard to the rate.", "N", "1000"),
        Setting("--stage2.iterations", "Iterations with the rate in the loss.", "N", "1000"),
        Setting(
            "--stage2.lmbda",
            "Price of the vector's bits; budget: that of the indices.",
            "X",
            "0.003",
        ),
        Setting(
            "--scaling.target_bpp",
            "Index bits up to that rate, without sound, bits per pixel.",
            "X",
            "null",
        ),
        Setting("--scaling.target_psnr", "Index bits up to that quality, dB.", "X", "null"),
        Setting("--trainer.accelerator", "cpu, gpu or auto.", "NAME", "auto"),
    ),
    "all of a configuration: --print_config",
)

START = """Give a configuration; for example

  vov-fit --config nano.yaml                 the bundled clip with the bundled model, minutes on a CPU
  vov-fit my_clip.mp4 --config nano.yaml     your own clip
  vov-fit --help                             more examples, and the settings that people use
"""
"""What ``vov-fit`` alone says."""

DECODE = Command(
    "vov-decode",
    "vov-decode FILE -o OUTPUT [--SETTING VALUE ...]",
    """Decode a .vov file. Needs the file and the base model that it names, nothing else.

  vov-decode x.vov -o x.mp4                       a video with its sound; .mkv takes every kind of sound
  vov-decode x.vov -o x/                          every frame as PNG, without loss
  vov-decode x.vov -o part.mp4 --from 4 --to 6.5  decodes only what these seconds need
  vov-decode x.vov -o x.mp4 --device cuda

A damaged segment is reported, the last picture before it is held, and the exit status is 1.""",
    (
        HELP,
        Setting("file", "The .vov file."),
        Setting("-o, --output", "A .mp4, a .mkv, a .png (images), or a folder for one PNG a frame."),
        Setting("--from", "Seconds from which on; null for the beginning.", "S", "null"),
        Setting("--to", "Seconds up to which; null for the end.", "S", "null"),
        Setting("--strict", "Refuse a damaged file rather than decode what is left of it.", default="false"),
        Setting("--stop_at", "Stop sampling at this time in [0, 1): less noise, less detail.", "T", "0.0"),
        DEVICE,
        BASE,
        Setting(
            "--limits.output_samples", "Most numbers in the decoded frames; more limits: --help_all.", "N", "2147483648"
        ),
    ),
)

EDIT = Command(
    "vov-edit",
    "vov-edit FILE ... -o OUTPUT [--SETTING VALUE ...]",
    """Decode a .vov file in another way than it was fitted: its vector is part of a model that takes prompts.

  vov-edit x.vov --prompt "dark, blue" -o out.mp4                  another prompt in place of the whole caption
  vov-edit x.vov --prompt "dark, blue" "bright, red" --strength 0.35 0.65 1 -o grid.png
                                                                   every prompt at every strength, as one sheet
  vov-edit x.vov --prompt "dark, still" --negative_prompt "dark, fast" --guidance 2 --strength 0.5 -o out.mp4
                                                                   twice away from the file's own caption, the vector
                                                                   as it was: for words that hardly act otherwise
  vov-edit x.vov --size 96x64 --frames 17 -o out.mp4               another size and length; the caption as it is
  vov-edit x.vov y.vov --weights 0.5 0.5 -o out.mp4                two vectors in one model

vov-info shows a file's caption: change one attribute of it and keep the others. Index bits stay in use, and hold the
clip's structure, unless seed, steps or size change. The base model nano refuses a word that it does not know, and lists
those that it does.""",
    (
        HELP,
        Setting("files", "The .vov file, or several whose vectors act together."),
        Setting("-o, --output", "A .mp4, .png or folder, as of vov-decode; .png for a sheet."),
        Setting(
            "--prompt",
            "Text in place of the first file's caption; empty for that caption. Several: a sheet.",
            "TEXT ...",
        ),
        Setting(
            "--strength",
            "How much of the vector: 0 the unadapted model, 1 the file's own, 0.65 the authors'. Several: a sheet.",
            "X ...",
            "[1.0]",
        ),
        Setting("--weights", "One for each file; empty for 1 each.", "X ..."),
        Setting("--size", "WIDTHxHEIGHT; empty for the file's own.", default="null"),
        Setting("--frames", "Frames; empty for the file's own number.", "N", "null"),
        Setting("--negative_prompt", "What guidance leads away from; null for the base model's own.", "TEXT", "null"),
        Setting("--keep_steps", "Index bits of the first steps only; null for all.", "N", "null"),
        Setting("--guidance", "Guidance under the prompt; null for the file's own.", "X", "null"),
        Setting("--seed", "Seed of the noise; null for the file's own.", "N", "null"),
        DEVICE,
        BASE,
    ),
)

SCALE = Command(
    "vov-scale",
    "vov-scale FILE -o OUTPUT [--SETTING VALUE ...]",
    """Steer the decoder of a .vov file towards the clip with index bits; the vector stays as it is.

  vov-scale in.vov --source clip.mp4 -o out.vov --scaling.bits 4000        a better picture for 500 bytes
  vov-scale in.vov --source clip.mp4 -o out.vov --scaling.target_bpp 0.2   as good as fits into that rate
  vov-scale in.vov --source clip.mp4 -o out.vov --scaling.target_psnr 24   as small as reaches that quality
  vov-scale in.vov --keep_steps 12 -o out.vov                              a shorter file, without the source""",
    (
        HELP,
        Setting("file", "The .vov file."),
        Setting("-o, --output", "The .vov file to write."),
        Setting("--source", "The clip that was compressed: file or folder.", "CLIP", "null"),
        Setting("--start", "First frame of the source.", "N", "0"),
        Setting("--fit", "How the source was brought to size; null to tell by the sizes.", "MODE", "null"),
        Setting(
            "--steps",
            "Denoising steps; empty for the file's own, which a vector fitted by Reconstruction needs.",
            "N",
            "null",
        ),
        Setting("--keep_steps", "Keep the indices of the first steps only.", "N", "null"),
        Setting("--scaling.bits", "Index bits to add.", "N", "0"),
        Setting("--scaling.target_bpp", "Rate of the whole file without its sound, bits per pixel.", "X", "null"),
        Setting("--scaling.target_psnr", "Quality to reach, dB.", "X", "null"),
        DEVICE,
        BASE,
    ),
)

EVAL = Command(
    "vov-eval",
    "vov-eval [PATH ...] [--SETTING VALUE ...]",
    """Measure .vov files against their sources, beside other codecs at the same number of bytes.

  vov-eval runs/*/ --out runs/evaluation                      what vov-fit has made, against what it was made from
  vov-eval runs/my_set --sources my_clips --out evaluation    sources elsewhere: <name of the file>.mp4, .png, ...
  vov-eval --config eval/nano.yaml runs/my_set                the figures that suit 64x64 pixels, all baselines
  vov-eval runs/my_set --metrics [psnr_db,dists] --baselines [x265,vvenc]

Open report.html; results.json and results.csv hold every figure. The same command goes on where it was interrupted.""",
    (
        HELP,
        Setting("paths", ".vov files, or folders that hold some at any depth; runs/ when left out.", default="[runs]"),
        Setting("--config", "YAML file of settings; also a shipped one by name.", "FILE"),
        Setting(
            "--sources",
            "Folder of the sources, <name of the file>.mp4, .png, ... or a folder of frames of that name; empty for "
            "the paths in the config.yaml of each run.",
            "FOLDER",
            "null",
        ),
        Setting("--start", "First frame of sources, for files apart from their run.", "N", "0"),
        Setting("--fit", "How they were brought to size, likewise; null to tell by the sizes.", "MODE", "null"),
        Setting("--out", "Folder of the results.", "FOLDER", "runs/evaluation"),
        Setting("--metrics", "Some of the metrics, which --help_all names; empty for all.", "[NAME,...]", "null"),
        Setting(
            "--baselines",
            "Codecs that code every clip at the bytes of its file, which --help_all names; [] for none.",
            "[NAME,...]",
            "[x265, svtav1, vvenc]",
        ),
        Setting(
            "--baseline_settings",
            'Arguments of baselines by name, e.g. {svtav1: {preset: "4"}}; neural codecs need some to run at all.',
            "{...}",
            "{}",
        ),
        Setting(
            "--weights_dir",
            "Folder of the metrics' networks; empty for torch hub's own, which downloads what is missing.",
            "FOLDER",
            "null",
        ),
        Setting(
            "--diagnostics",
            "Add to results.json how far each vector moves the model, its error at each t, and what stopping early "
            "costs: some hundred evaluations of the model a file.",
            default="false",
        ),
        Setting("--accelerator", "As Lightning's Trainer: auto, cpu, gpu ...", "NAME", "auto"),
        Setting("--devices", "Processes that share the files.", "N", "1"),
        Setting("--launcher", "Share the files among machines: ray; settings: launch.", "NAME", "null"),
        Setting("--logger", "W&B as in vov-fit; false for none."),
        BASE,
    ),
)

INFO = Command(
    "vov-info",
    "vov-info FILE | vov-info --base NAME [--SETTING VALUE ...] | vov-info --check NAME",
    """Show every header field of a .vov file and its bytes by section, or what a base model costs.

  vov-info clip.vov
  vov-info --base wan2.1-t2v-1.3b --size 832x480 --frames 81     without its weights
  vov-info --check my_package.MyBase                             what a base model of your own still breaks""",
    (
        HELP,
        Setting("file", "The .vov file."),
        Setting("--json", "Machine-readable output.", default="false"),
        Setting("--base", "Base model (name, class path), not a file.", "NAME", "null"),
        Setting("--check", "Base model whose contract is tried on random weights.", "NAME", "null"),
        Setting("--size", "WIDTHxHEIGHT; empty for the model's own.", default="null"),
        Setting("--frames", "Frames; empty for the model's own number.", "N", "null"),
        Setting("--k", "Length of the vector.", "N", "131072"),
        Setting("--rank", "Rank of the adapter.", "N", "1"),
        Setting("--draws", "Draws of a fit; the paper takes 2000 x 64.", "N", "128000"),
        Setting("--steps", "Denoising steps of a decode.", "N", "25"),
    ),
)

EXPORT = Command(
    "vov-export",
    "vov-export FILE --format FORMAT -o OUTPUT [--SETTING VALUE ...]",
    """Export the vector of a .vov file, or describe a folder of files for the hub.

  vov-export x.vov --format peft -o x_lora/              PeftModel.from_pretrained(transformer, "x_lora")
  vov-export x.vov --format diffusers -o x.safetensors   pipeline.load_lora_weights("x.safetensors")
  vov-export x.vov --format native -o x.safetensors      Wan's and LTX's own names, for ComfyUI and musubi-tuner
  vov-export x.vov --format unilora -o x_unilora/        the k numbers, for PEFT 0.20 or later
  vov-export x.vov --format merged -o transformer/       the adapted transformer, in diffusers' layout
  vov-export runs/ --format card --push me/my-clips      README.md; files, previews and card to the hub

A LoRA makes the base model generate the clip from the noise, times and caption that the file names; they stand in the
header's metadata, index bits are not exported. There is no way back from a LoRA to a .vov file: the hash is not
invertible. Previews show the source beside the decoded clip, and --push publishes them.""",
    (
        HELP,
        Setting("source", "The .vov file; for a card, a folder of them."),
        Setting("--format", "What to write.", "peft|diffusers|native|unilora|merged|card"),
        Setting(
            "-o, --output",
            "Folder to write; for diffusers and native a .safetensors file; for a card README.md in the files' folder.",
            default="null",
        ),
        Setting("--license", "Identifier, such as cc-by-4.0.", default="unknown"),
        Setting("--overwrite", "Replace what was written there before.", default="false"),
        Setting("--push", "user/name on the hub, for a card.", "USER/NAME", "null"),
        Setting("--private", "Create that repository for yourself alone.", default="false"),
        BASE,
    ),
)

APP = Command(
    "vov-app",
    "vov-app [--SETTING VALUE ...]",
    """Compress, compare and edit clips in the browser. Needs pip install "vov_lightning[app]".

  vov-app                          on this machine alone, at http://127.0.0.1:7860
  vov-app --max_seconds 30         longer clips
  vov-app --host 0.0.0.0           for everybody who can reach this machine: there is no password

A clip stays on this machine. Files older than an hour go when new ones are made, and all of them when the app ends.""",
    (
        HELP,
        Setting("--host", "Address to listen at; 127.0.0.1 is this machine alone.", "ADDRESS", "127.0.0.1"),
        Setting("--port", "Port to listen at; 0 for any that is free.", "N", "7860"),
        Setting("--base", "Base model by registered name; files of another one are refused.", "NAME", "nano"),
        Setting("--device", "Where the base model runs: cpu, cuda, cuda:1 ...", default="cpu"),
        Setting("--max_mb", "Largest file that is taken, in megabytes.", "N", "100"),
        Setting("--max_seconds", "Longest part of a clip that is compressed; the rest is left out.", "S", "10.0"),
        Setting("--max_rows", "Most rows; larger clips are made smaller.", "N", "288"),
    ),
)

COMMANDS = {command.name: command for command in (FIT, DECODE, EDIT, SCALE, EVAL, INFO, EXPORT, APP)}
