import math

import pytest
import torch

from mermaide_pl.experiments.paper.parameter_path import ParameterPath, Plane


def rotation(size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]


def test_plane_of_an_ellipse_by_hand():
    # differences to the end: (-3, 0), (0, -1), (0, 0); squared lengths 9 and 1
    flat = torch.tensor([[0.0, 2.0], [3.0, 1.0], [3.0, 2.0]], dtype=torch.float64)
    turn = rotation(6)[:, :2]
    points = flat @ turn.T + 7.0
    plane = Plane.of_path(points)
    assert plane.explained == pytest.approx((0.9, 0.1))
    coordinates = plane.coordinates(points)
    assert coordinates[0].tolist() == pytest.approx([-3.0, 0.0])
    assert [abs(number) for number in coordinates[1].tolist()] == pytest.approx([0.0, 1.0])
    assert coordinates[2].tolist() == [0.0, 0.0]


def test_the_path_starts_on_the_lower_left_and_ends_at_the_origin():
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(12, 40, generator=generator).cumsum(0)
    plane = Plane.of_path(points)
    coordinates = plane.coordinates(points)
    assert coordinates[0].max() <= 0.0
    assert coordinates[-1].tolist() == [0.0, 0.0]


def test_directions_are_orthonormal_and_no_others_explain_more():
    generator = torch.Generator().manual_seed(2)
    points = torch.randn(12, 40, generator=generator).cumsum(0)
    plane = Plane.of_path(points)
    torch.testing.assert_close(
        plane.directions @ plane.directions.T, torch.eye(2, dtype=torch.float64)
    )
    moved = (points[:-1] - points[-1]).double()
    explained = (moved @ plane.directions.T).square().sum(0) / moved.square().sum()
    assert explained.tolist() == pytest.approx(plane.explained)
    others = torch.randn(1000, 40, generator=generator, dtype=torch.float64)
    others = others / others.norm(dim=1, keepdim=True)
    assert ((moved @ others.T).square().sum(0) / moved.square().sum()).max() < plane.explained[0]


def test_points_of_the_plane_have_the_coordinates_they_were_made_from():
    generator = torch.Generator().manual_seed(3)
    plane = Plane.of_path(torch.randn(5, 9, generator=generator))
    wanted = torch.tensor([[0.0, 0.0], [1.5, -2.0]], dtype=torch.float64)
    torch.testing.assert_close(plane.coordinates(plane.at(wanted)), wanted)
    assert (plane.at(wanted)[1] - plane.origin).norm().item() == pytest.approx(math.hypot(1.5, 2.0))


def test_interval_must_be_a_positive_number():
    with pytest.raises(ValueError, match="every_n_steps must be a finite number and at least 1"):
        ParameterPath(0)
