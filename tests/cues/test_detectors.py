"""SAM 2 of random parameters against transformers' own loop, and what the others do with files that are not theirs."""

import numpy as np
import pytest
import torch
from transformers import Sam2VideoConfig, Sam2VideoModel

from jaxanim.cues.detect import Masker, PoseDetector, whole_body
from jaxanim.cues.detect_rtmlib import RtmlibPoses
from jaxanim.cues.detect_sam2 import Sam2Masks
from jaxanim.cues.detect_yunet import YunetFaces
from jaxanim.cues.prepare import one_face
from jaxanim.errors import InputError
from tests.cues import detectors

SIDE = 64


@pytest.fixture(scope="module")
def sam2(tmp_path_factory):
    """A folder of SAM 2 for video, as small as its code lets it be."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "sam2.1-hiera-small"
    backbone = {"hidden_size": 8, "image_size": [SIDE, SIDE], "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 1, 2, 2],
                "window_size_per_stage": [4, 4, 4, 4], "global_attention_blocks": [3],
                "window_positional_embedding_background_size": [4, 4],
                "model_type": "sam2_hiera_det_model"}  # fmt: skip
    features = [[SIDE // n, SIDE // n] for n in (4, 8, 16)]
    vision = {"backbone_config": backbone, "backbone_channel_list": [64, 32, 16, 8],
              "backbone_feature_sizes": features, "fpn_hidden_size": 128}  # fmt: skip
    decoder = {"hidden_size": 128, "mlp_dim": 32, "iou_head_hidden_dim": 32, "num_attention_heads": 2}
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 128, "image_size": SIDE, "patch_size": 16},
        mask_decoder_config=decoder,
        image_size=SIDE,
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=features[2],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=32,
        memory_fuser_num_layers=1,
    )
    Sam2VideoModel(config).save_pretrained(folder)
    return folder


def test_sam2_follows_a_box_to_both_ends(sam2):
    masker = Sam2Masks(sam2)
    assert isinstance(masker, Masker)
    video = np.random.default_rng(0).integers(0, 256, (3, 40, 56, 3), np.uint8)
    done = []
    masks = masker.masks(video, 1, np.array([8.0, 6.0, 40.0, 30.0]), lambda k, n: done.append((k, n)))
    assert masks.shape == (3, 40, 56)
    assert set(np.unique(masks)) <= {0, 255}
    assert done[-1] == (3, 3)
    # One frame alone, by the model's own image path: the box in the square that the network sees.
    model = Sam2VideoModel.from_pretrained(sam2).eval()
    small = torch.nn.functional.interpolate(
        torch.from_numpy(video[1:2].transpose(0, 3, 1, 2)).float(),
        (SIDE, SIDE),
        mode="bilinear",
        align_corners=False,
    )
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = (small / 255 - mean[:, None, None]) / std[:, None, None]
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    session = Sam2VideoInferenceSession(pixels, 40, 56, dtype=torch.float32)
    corners = torch.tensor([[[[8 / 56, 6 / 40], [40 / 56, 30 / 40]]]]) * SIDE
    index = session.obj_id_to_idx(1)
    session.add_point_inputs(index, 0, {"point_coords": corners, "point_labels": torch.tensor([[[2, 3]]])})
    session.obj_with_new_inputs = [1]
    with torch.inference_mode():
        logits = model(session, frame_idx=0).pred_masks
    large = torch.nn.functional.interpolate(logits.float(), (40, 56), mode="bilinear", align_corners=False)[0, 0]
    agree = (large.numpy() > 0) == (masks[1] > 0)
    assert agree.mean() > 0.97


def test_what_is_no_network_is_said(tmp_path, sam2):
    text = tmp_path / "dw-ll_ucoco_384.onnx"
    text.write_text("not a network")
    people = detectors.yolox(tmp_path / "yolox_m.onnx", 32)
    with pytest.raises(InputError, match="cannot be read as a pose network"):
        RtmlibPoses(people, text)
    body = detectors.rtmpose(tmp_path / "body.onnx", 32, 24, points=17)
    with pytest.raises(InputError, match="133"):
        RtmlibPoses(people, body)
    with pytest.raises(InputError, match="YuNet"):
        YunetFaces(text)
    (tmp_path / "sam2").mkdir()
    with pytest.raises(InputError, match="SAM 2"):
        Sam2Masks(tmp_path / "sam2")
    assert isinstance(RtmlibPoses(people, detectors.rtmpose(tmp_path / "whole.onnx", 32, 24)), PoseDetector)


def test_points_that_are_unsure_are_not_seen_and_people_may_come_and_go():
    rng = np.random.default_rng(0)
    points = rng.uniform(1, 50, (2, 133, 3)).astype(np.float32)
    points[..., 2] = 1.2
    points[0, 5, 2] = 0.29
    fields = whole_body([points, points[:0], points[1:]])
    body = fields["pose_keypoints_2d"]
    assert body.shape == (3, 2, 18, 3)
    assert (body[0, 0, 5] == 0).all()  # the left shoulder
    assert (body[0, 0, 1] == 0).all()  # and the neck, which lies between the shoulders
    np.testing.assert_allclose(body[0, 1, 1], points[1, 5:7].mean(0) * [1, 1, 0] + [0, 0, 1], rtol=1e-6)
    assert (body[1] == 0).all()
    assert body[..., 2].max() == 1
    np.testing.assert_allclose(fields["face_keypoints_2d"][0, 0, :, :2], points[0, 23:91, :2])
    np.testing.assert_allclose(fields["hand_right_keypoints_2d"][2, 0, :, :2], points[1, 112:, :2])


def test_the_face_of_the_main_person_is_followed():
    body = np.zeros((3, 1, 18, 3), np.float32)
    body[:, 0, 0] = 30, 20, 1
    near, far = np.array([24, 14, 36, 26.0]), np.array([80, 10, 110, 40.0])
    each = [np.stack([far, near]), np.zeros((0, 4)), (near + [4, 0, 4, 0])[None]]
    boxes = one_face(each, {"pose_keypoints_2d": body}, None, "v.mp4")
    np.testing.assert_allclose(boxes, [near, near + [2, 0, 2, 0], near + [4, 0, 4, 0]])
    assert (one_face(each, None, None, "v.mp4")[0] == far).all()
    with pytest.raises(InputError, match="no face in any of its 3 frames"):
        one_face([np.zeros((0, 4))] * 3, None, None, "v.mp4")
