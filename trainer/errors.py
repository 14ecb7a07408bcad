"""What can be wrong with a data set, a labels file or a recipe, and what should the person do?

Every message is a sentence for that person.
"""

from db.errors import InspectqError


class TrainerError(InspectqError):
    """The root of what can go wrong while a model is made or judged."""


class DatasetError(TrainerError):
    """The folder cannot be trained on or evaluated as it is."""


class LabelsError(DatasetError):
    """The labels file cannot be read, or does not say which column is which."""


class BoxesError(DatasetError):
    """The file of boxes cannot be read, or says what cannot be true of these images."""


class ClassesUnclear(DatasetError):
    """It cannot be told which class is the defective one: a person has to say it with --positive."""


class RecipeInvalid(TrainerError):
    """A value of the recipe is out of range."""


class TrainingDiverged(TrainerError):
    """The loss stopped being a number; nothing was written."""


class TrainingInterrupted(TrainerError):
    """A person stopped the training; no checkpoint was written, finished epochs can be resumed."""


class TargetRefused(TrainerError):
    """No limits of this model keep the target on these images, or these images are too few to show it."""
