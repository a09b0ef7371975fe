import pytest

from genas.core.errors import ConfigError
from genas.data.digits import Digits
from genas.data.named import FIELDS, describe_given, open_dataset
from genas.data.parquet import ParquetData
from genas.data.vision import Cifar10, ImageFolderData, ImageNet


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ("digits", {"name": "digits"}),
        (Digits, {"name": "digits"}),
        (Digits(), {"name": "digits"}),
        (Cifar10("somewhere"), {"name": "cifar10", "root": "somewhere"}),
        (ImageNet("somewhere", 64), {"name": "imagenet", "root": "somewhere", "image_size": 64}),
        (ImageFolderData("photos"), {"name": "folder:photos"}),
        (ImageFolderData("photos", image_size=32), {"name": "folder:photos", "image_size": 32}),
        (ParquetData("tables", 32), {"name": "parquet:tables", "image_size": 32}),
    ],
)
def test_an_object_of_genas_has_the_short_name_that_makes_it_again(given, settings):
    found = describe_given(given)
    assert found == settings
    again = open_dataset(found.pop("name"), **found)
    if not isinstance(given, str | type):
        assert type(again) is type(given)
        assert {key: str(value) for key, value in vars(again).items() if key in ("root", "image_size", "name")} == {
            key: str(value) for key, value in vars(given).items() if key in ("root", "image_size", "name")
        }


def test_options_are_for_custom_classes():
    with pytest.raises(ConfigError, match="the data set 'digits' has no option step"):
        open_dataset("digits", step=3)


def test_the_settings_of_every_data_set_are_those_of_the_configuration():
    from genas.workflows.sections import DataSettings

    assert set(FIELDS) == set(DataSettings.model_fields)
