"""Learning rates of retraining: three schedules, three warm-ups (methods.md 2.3).

With E epochs, first rate lr0, last rate lr1, and e = 0 .. E-1:

* cosine: ``lr1 + (lr0 - lr1) (1 + cos(pi e / E)) / 2``;
* exponential: ``lr0 d^e``, d = 0.97 for DARTS on ImageNet;
* linear, with a tail of t = 5 epochs: ``lr0 (E-t-e) / (E-t)`` while ``E-e > t``, then ``lr0 (E-e) / (t (E-t))``. For
  E = 250 the epochs 244 and 245 have the same value, lr0/245, as published by PC-DARTS, ABS, RLNAS and GeNAS. The code
  of P-DARTS has the tail in opposite order (`RetrainSettings.tail`): ``lr0 (e-E+t+1) / (t (E-t))``.

Warm-up over w epochs multiplies by ``(e+1)/w``: the schedule's own value (RLNAS and GeNAS always, P-DARTS where the
batch is larger than 256), or lr0 (PC-DARTS, where the batch is larger than 256).

The published scripts step the scheduler before the epoch, which since PyTorch 1.1 gives epoch e the cosine or
exponential of e + 1 (T1): `shifted_schedule`. The linear schedule sets the rate itself and is not affected.
"""

from genas.training.loop import cosine
from genas.training.standalone.recipe import RetrainSettings


def learning_rate(settings: RetrainSettings, epoch: int) -> float:
    """The learning rate of an epoch.

    Args:
        settings: the recipe.
        epoch: from 0.
    """
    rate = _scheduled(settings, epoch)
    if epoch < settings.warmup_epochs and settings.batch_size > settings.warmup_above_batch:
        base = settings.learning_rate if settings.warmup_from == "first" else rate
        return base * (epoch + 1) / settings.warmup_epochs
    return rate


def extendable(settings: RetrainSettings) -> bool:
    """Whether no epoch depends on how many there will be, so that a training can go on for more of them.

    So it is with the exponential schedule, and without drop-path, whose probability grows towards the last epoch.
    """
    return settings.schedule == "exponential" and not settings.drop_path


def _scheduled(settings: RetrainSettings, epoch: int) -> float:
    first, epochs = settings.learning_rate, settings.epochs
    match settings.schedule:
        case "cosine":
            return cosine(epoch, epochs, first, settings.final_learning_rate, settings.shifted_schedule)
        case "exponential":
            return float(first * settings.decay ** (epoch + settings.shifted_schedule))
        case "linear":
            tail = settings.tail_epochs
            if epochs - epoch > tail:
                return first * (epochs - tail - epoch) / (epochs - tail)
            left = epochs - epoch
            return first * (left if settings.tail == "falling" else tail + 1 - left) / (tail * (epochs - tail))
