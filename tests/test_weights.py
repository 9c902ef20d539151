"""bundle.networks.weights: what is loaded and what is refused."""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict

import pytest
import torch
from torch import nn

from bundle.errors import InputError
from bundle.networks import load_weights, prepare, publish_weights


def network() -> nn.Conv3d:
    return nn.Conv3d(1, 2, 1)


def test_known_weights_give_the_known_answer(tmp_path):
    # Two classes: 2 x + 0.5 and -x.
    weights = {"weight": torch.tensor([2.0, -1.0]).reshape(2, 1, 1, 1, 1), "bias": torch.tensor([0.5, 0.0])}
    torch.save(weights, tmp_path / "model.pt")
    answer = load_weights(network(), str(tmp_path / "model.pt"))(torch.full((1, 1, 1, 1, 1), 3.0))
    assert answer.flatten().tolist() == [6.5, -3]


def test_half_precision_weights_are_widened(tmp_path):
    saved = network()
    torch.save({key: value.half() for key, value in saved.state_dict().items()}, tmp_path / "model.pt")
    loaded = load_weights(network(), str(tmp_path / "model.pt"))
    assert loaded.weight.dtype == torch.float32
    assert torch.equal(loaded.weight, saved.weight.half().float())


def test_of_several_checkpoints_the_mean_is_published(tmp_path):
    for name, value in (("a.pt", 1.0), ("b.pt", 4.0)):
        torch.save({"w": torch.full((2,), value), "count": torch.tensor(7)}, tmp_path / name)
    publish_weights([tmp_path / "a.pt", tmp_path / "b.pt"], tmp_path / "model.pt")
    published = torch.load(tmp_path / "model.pt", weights_only=True)
    assert published["w"].tolist() == [2.5, 2.5] and published["count"] == 7


def test_weights_of_different_networks_are_not_averaged(tmp_path):
    for name, size in (("a.pt", 2), ("b.pt", 3)):
        torch.save({"w": torch.zeros(size)}, tmp_path / name)
    with pytest.raises(InputError, match="weights to average are of one network"):
        publish_weights([tmp_path / "a.pt", tmp_path / "b.pt"], tmp_path / "model.pt")
    assert not (tmp_path / "model.pt").exists()


def test_published_weights_are_half_precision_and_load(tmp_path):
    saved = network()
    torch.save(saved.state_dict(), tmp_path / "best.pt")
    publish_weights([tmp_path / "best.pt"], tmp_path / "model.pt")
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].dtype == torch.float16
    assert torch.equal(load_weights(network(), str(tmp_path / "model.pt")).weight, saved.weight.half().float())


def test_without_path_the_network_stays_as_it_is():
    fresh = network()
    before = fresh.weight.clone()
    assert load_weights(fresh, None) is fresh
    assert torch.equal(fresh.weight, before)


def test_prepared_network_convolves_channels_last():
    prepared = prepare(nn.Conv3d(4, 4, 3), None, "cpu")
    assert prepared.weight.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("scans", [1, 2])
def test_prepared_network_normalises_as_torch(scans, affine):
    norm = nn.InstanceNorm3d(4, affine=affine)
    x = torch.randn(scans, 4, 6, 5, 7, generator=torch.Generator().manual_seed(0)) * 3 + 2
    expected = norm(x)
    prepared = prepare(nn.Sequential(norm), None, "cpu")
    assert torch.allclose(prepared(x.contiguous(memory_format=torch.channels_last_3d)), expected, atol=1e-6)


def test_prepared_norm_leaves_a_scan_channels_last():
    x = torch.zeros(1, 4, 6, 5, 7).contiguous(memory_format=torch.channels_last_3d)
    normalised = prepare(nn.Sequential(nn.InstanceNorm3d(4)), None, "cpu")(x)
    assert normalised.is_contiguous(memory_format=torch.channels_last_3d)


def test_prepared_norm_has_the_same_weights():
    norm = nn.InstanceNorm3d(4, affine=True)
    assert list(prepare(nn.Sequential(norm), None, "cpu").state_dict()) == ["0.weight", "0.bias"]


def test_missing_file_names_the_setting():
    with pytest.raises(InputError, match="nowhere.pt: the checkpoint must be a file.*'checkpoint'"):
        load_weights(network(), "nowhere.pt")


def test_missing_relative_file_asks_for_the_root_of_the_bundle(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape(f"If {tmp_path} is not the root of the bundle, set 'bundle_root'")):
        load_weights(network(), "models/model.pt")


def test_weights_of_another_system_name_both_and_the_first_key(tmp_path):
    torch.save(nn.Conv3d(1, 2, 1, bias=False).state_dict(), tmp_path / "model_roth2018.pt")
    message = r"model_roth2018.pt: .* network of the system zhu2018; received no bias, where \(2,\) belongs"
    with pytest.raises(InputError, match=message):
        prepare(network(), str(tmp_path / "model_roth2018.pt"), "cpu", system="zhu2018")


def test_missing_absolute_file_leaves_the_root_of_the_bundle_alone(tmp_path):
    with pytest.raises(InputError, match="'localizer_checkpoint', to weights.$"):
        load_weights(network(), str(tmp_path / "model.pt"))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (nn.Conv3d(1, 3, 1).state_dict(), r"bias of shape \(3,\), where \(2,\) belongs"),
        (nn.Conv3d(1, 2, 1, bias=False).state_dict(), r"no bias, where \(2,\) belongs"),
        ({**nn.Conv3d(1, 2, 1).state_dict(), "more": torch.zeros(1)}, r"more of shape \(1,\), where nothing belongs"),
        ({"model": nn.Conv3d(1, 2, 1).state_dict()}, "no bias, where"),
        (torch.zeros(3), "a checkpoint holds a state_dict of tensors"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, weights, message):
    torch.save(weights, tmp_path / "model.pt")
    with pytest.raises(InputError, match=message):
        load_weights(network(), str(tmp_path / "model.pt"))


def with_head(classes: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(body=nn.Conv3d(1, 2, 1), head=nn.Conv3d(2, classes, 1)))


def test_skipped_part_keeps_its_own_weights(tmp_path):
    saved, fresh = with_head(8), with_head(3)
    torch.save(saved.state_dict(), tmp_path / "model.pt")
    before = fresh.head.weight.clone()
    load_weights(fresh, str(tmp_path / "model.pt"), skip=["head"])
    assert torch.equal(fresh.body.weight, saved.body.weight)
    assert torch.equal(fresh.head.weight, before)


@pytest.mark.parametrize(
    ("skip", "message"),
    [
        ([], r"head.bias of shape \(8,\), where \(3,\) belongs"),
        (["body"], r"head.bias of shape \(8,\), where \(3,\) belongs"),
        (["hea"], "skip: a part of the network is one of body, head; received 'hea'"),
    ],
)
def test_other_parts_must_still_fit(tmp_path, skip, message):
    torch.save(with_head(8).state_dict(), tmp_path / "model.pt")
    with pytest.raises(InputError, match=message):
        load_weights(with_head(3), str(tmp_path / "model.pt"), skip)


def test_whole_network_is_refused_without_running_its_code(tmp_path):
    torch.save(network(), tmp_path / "model.pt")
    with pytest.raises(InputError, match="a checkpoint holds a state_dict"):
        load_weights(network(), str(tmp_path / "model.pt"))


@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps({"weight": 1})])
def test_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(InputError, match="model.pt: "):
        load_weights(network(), str(tmp_path / "model.pt"))
