"""Training runs and searches of a selection that are planted: they leave what processes would, and take time of a clock of their own."""

import json
import pathlib

from some_spaces import uniform_genotype

from scnas_keras.select import trials

WORTH = {"nnunet": 0.80, "resenc_m": 0.82, "u_resnet": 0.70, "unet": 0.6, "found_w64": 0.85, "found_w128": 0.75, "random_w64": 0.65}
OVERHEAD = 20.0


class Clock:
    """Time that only planted training runs take."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Planted:
    """Stands for processes: leaves what `retrain` and `search` leave, and takes the time that they would."""

    def __init__(self, clock, survey):
        self.clock, self.split, self.ran, self.worth, self.stop_at, self.broken = clock, survey.split, [], dict(WORTH), None, {}
        self.surfaces = 0.0
        self.overhead, self.slower, self.updates, self.configs, self.step, self.paces = OVERHEAD, {}, 500, {}, None, {}

    def worth_of(self, name, config):
        """Dice of a network trained with these flags."""
        return self.worth[name]

    def __call__(self, command, config, title, expected):
        folder = pathlib.Path(config.workdir)
        key = "/".join(folder.parts[-2:])
        self.ran.append(key)
        if self.stop_at == key:
            self.stop_at = None
            folder.mkdir(parents=True)
            self.clock.now += 7
            raise SystemExit(143)
        if key in self.broken:
            if isinstance(self.broken[key], Exception):
                raise self.broken.pop(key)
            return trials.Failure(self.broken[key])
        self.clock.now += config.budget_minutes * 60 + self.overhead + self.slower.get(folder.name, 0.0)
        folder.mkdir(parents=True, exist_ok=True)
        if command == "search":
            uniform_genotype("conv_3").save(folder / "genotype.json")
            (folder / "summary.json").write_text("{}")
            return None
        name = "nnunet" if folder.name.startswith("nnunet") else folder.name
        self.configs[key] = config
        dice = self.worth_of(name, config) + 0.001 * config.seed
        cases = getattr(self.split, config.judge_on)
        lines = [f"{case},{dice + 0.001 * i:.6f},{dice - 0.001 * i:.6f}" for i, case in enumerate(cases)]
        (folder / "validation.csv").write_text("\n".join(["case,core,shell", *lines]) + "\n")
        nsd = 1.2 - dice  # who is better by Dice is worse by surfaces
        lines = [f"{case},{name},{nsd + 0.001 * i:.6f},2.0,1.0" for i, case in enumerate(cases) for name in ("core", "shell")]
        if config.surfaces:
            (folder / "surfaces.csv").write_text("\n".join(["case,class,nsd,hd95,assd", *lines]) + "\n")
        result = {"mean_dice": dice, "dice": {"core": dice, "shell": 1 - dice}, "judged_on": config.judge_on, "parameters": 1000}
        if config.surfaces:
            result |= {"nsd": {"core": nsd, "shell": nsd}, "mean_nsd": nsd, "mean_hd95_mm": 2.0, "surface_seconds_per_scan": self.surfaces}
            self.clock.now += self.surfaces * len(cases)
        result |= {"multiply_adds": 10**9, "seconds_per_step": self.paces.get(key, 0.5), "seconds_per_scan": {"nnunet": 2.0}.get(name, 1.0)}
        result["updates"] = int(config.budget_minutes * 60 / self.step) if self.step else self.updates
        flags = {"budget_minutes": config.budget_minutes}
        (folder / "summary.json").write_text(json.dumps({"flags": flags, "result": result}))
        (folder / "model.keras").write_text(f"weights of {key}")
        (folder / "model.json").write_text("{}")
        return None
