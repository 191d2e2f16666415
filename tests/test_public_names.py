"""The public names: what is not listed may change freely, what is listed may not."""

import model
from model import errors


def test_the_model_package_is_a_short_list_of_names():
    assert model.__all__ == ["Mesh", "MonotwinError", "Options", "Photo", "ReconstructionError", "Reconstructor"]
    assert all(hasattr(model, name) for name in model.__all__)


def test_every_error_is_a_monotwin_error():
    found = {value for value in vars(errors).values() if isinstance(value, type)}
    assert all(issubclass(error, errors.MonotwinError) for error in found)


def test_the_drawn_tree_of_errors_names_every_class():
    drawn = errors.__doc__.split("MonotwinError\n", 1)[1]
    named = {
        word for line in drawn.splitlines() for word in line.replace("├──", "").replace("└──", "").replace("│", "").split()[:1]
    }
    assert named == {name for name, value in vars(errors).items() if isinstance(value, type)} - {"MonotwinError"}
