"""The body: proportions, pose and keypoints.

Figure units: the figure is about 228 high; y points down from the base of the neck (0): chest 22, waist 48, hips 72,
crotch 80, knees 128, ankles 176, soles 186. Side 0 is the picture's left (the person's right), side 1 its right.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from drawn_people.canvas import moved
from drawn_people.limbs import Limb
from drawn_people.palettes import SKIN, pick

WAIST, HIPS, CROTCH, KNEE, ANKLE = 48.0, 72.0, 80.0, 128.0, 176.0
ARM_LABELS, LEG_LABELS, SHOE_LABELS = (15, 14), (13, 12), (10, 9)  # ATR; side 0 is the person's right
FACE_LABEL = 11
CLOTHES_LABELS = (4, 5, 6, 7, 18)  # top, skirt, pants, dress, and a garment worn open over another one
ARM_POSES = ("hang", "loose", "hip", "across", "pocket", "behind", "up")


@dataclass(frozen=True)
class TorsoFrame:
    """Bends the upright torso: lean and curve shift it sideways above the hips, sway below; tilts slant it."""

    lean: float = 0.0
    curve: float = 0.0
    sway: float = 0.0
    shoulder_tilt: float = 0.0
    hip_tilt: float = 0.0

    def _shift(self, y: np.ndarray) -> np.ndarray:
        up = np.clip((HIPS - y) / HIPS, 0, 1.5)
        return HIPS * (self.lean * up + self.curve * up * up) + self.sway * np.maximum(y - HIPS, 0)

    def _slant(self, y: np.ndarray) -> np.ndarray:
        t = np.clip(y / HIPS, 0, 1)
        below = np.clip((y - HIPS) / 90, 0, 1)
        return (self.shoulder_tilt * (1 - t) + self.hip_tilt * t) * (1 - 0.7 * below)

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Upright torso coordinates (n, 2) -> figure coordinates (n, 2)."""
        p = np.asarray(points, np.float64)
        x, y = p[..., 0], p[..., 1]
        return np.stack([x + self._shift(y), y + x * self._slant(y)], axis=-1)

    def to_local(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The inverse of `to_world`."""
        local_x, local_y = x, y
        for _ in range(3):
            local_x = x - self._shift(local_y)
            local_y = y - local_x * self._slant(local_y)
        return local_x, local_y


@dataclass
class Body:
    """Half widths, joints and skin of one person.

    Attributes:
        yaw: Turn of the torso in radians; shifts the cloth's middle sideways.
        arms, legs: Joints per side: (3, 2) shoulder, elbow, wrist; hip, knee, ankle.
        arm_poses: Of ARM_POSES, per side.
        head: Middle of the face.
    """

    skin: np.ndarray
    femininity: float
    build: float
    chest: float
    waist: float
    hip: float
    shoulder: float
    neck: float
    arm_widths: tuple[float, float, float]
    leg_widths: tuple[float, float, float, float]
    frame: TorsoFrame
    yaw: float
    arms: np.ndarray
    legs: np.ndarray
    arm_poses: tuple[str, str]
    head: np.ndarray
    face_yaw: float
    head_tilt: float
    light: float
    flat: bool = field(default=False)

    def half_width(self, y: np.ndarray | float) -> np.ndarray:
        """Half width of the bare torso and hips, upright, at heights in [8, 84]."""
        return np.interp(y, (8, 22, WAIST, HIPS, CROTCH), (self.chest, self.chest, self.waist, self.hip, self.hip))

    def arm(self, side: int) -> Limb:
        upper, elbow, wrist = self.arm_widths
        return Limb.through(self.arms[side], [0, 0.2, 0.5, 0.62, 1], [upper, upper, elbow, elbow * 1.04, wrist])

    def leg(self, side: int) -> Limb:
        thigh, knee, calf, ankle = self.leg_widths
        return Limb.through(
            self.legs[side], [0, 0.25, 0.5, 0.68, 0.95, 1], [thigh, thigh * 0.92, knee, calf, ankle, ankle]
        )

    def on_mannequin(self, arm_angle: float) -> "Body":
        """The same measures, standing straight: what a flat product picture is laid out on."""
        arms = np.stack([_arm(self, side, arm_angle, arm_angle * 0.9) for side in (0, 1)])
        legs = np.stack([_leg(self, side, 0.07, 0.05) for side in (0, 1)])
        return replace(self, frame=TorsoFrame(), yaw=0.0, arms=arms, legs=legs, light=-0.25, flat=True)

    def keep_legs_within(self, half_width: Callable[[float], np.ndarray], bottom: float) -> None:
        """Moves the legs together until a skirt hides them, down to its hem.

        Args:
            half_width: Of the skirt, as a function of height. bottom: Height of its hem.
        """
        leg_width = self.leg_widths[1] + 1.2
        for side, out in ((0, -1), (1, 1)):
            hip, knee, ankle = self.legs[side]
            for height in np.linspace(min(100.0, bottom), min(bottom, ANKLE), 4):
                start, end = (hip, knee) if height < knee[1] else (knee, ankle)
                joint = start + (end - start) * (height - start[1]) / (end[1] - start[1])
                middle = self.frame.to_world(np.array([0.0, height]))[0]
                excess = out * (joint[0] - middle) + leg_width - float(half_width(height))
                if excess > 0:
                    share = min((height - hip[1]) / (knee[1] - hip[1]), 1.0)
                    knee[0] -= out * min(excess / share, 9.0)
                    ankle[0] -= out * min(excess / share, 9.0)

    def keypoints(self) -> np.ndarray:
        """OpenPose's 18 points in figure coordinates: float64 (18, 2)."""
        hx, hy = self.head
        face = self.face_yaw * 6
        ears = np.array([(hx - 11.5, hy + 1), (hx + 11.5, hy + 1)])
        eyes = np.array([(hx - 4.8 + face, hy - 0.5), (hx + 4.8 + face, hy - 0.5)])
        nose = np.array([hx + face * 1.2, hy + 5])
        neck = self.frame.to_world(np.array([0.0, 4.0]))
        right, left = 0, 1
        return np.stack(
            [nose, neck, *self.arms[right], *self.arms[left], *self.legs[right], *self.legs[left], *eyes, *ears]
        )


def draw_body_parameters(rng: np.random.Generator) -> Body:
    """A person's proportions and pose, drawn at random."""
    femininity = float(rng.uniform(0, 1))
    build = float(np.clip(rng.normal(1.0, 0.1), 0.84, 1.28))
    body = Body(
        skin=pick(rng, SKIN, 4),
        femininity=femininity,
        build=build,
        chest=(21.0 - 2.0 * femininity) * build * rng.uniform(0.97, 1.03),
        waist=(17.2 - 2.8 * femininity) * build**1.15 * rng.uniform(0.96, 1.04),
        hip=(20.0 + 2.2 * femininity) * build * rng.uniform(0.97, 1.03),
        shoulder=(26.5 - 2.6 * femininity) * build**0.6 * rng.uniform(0.97, 1.04),
        neck=(6.6 - 1.3 * femininity) * build**0.5,
        arm_widths=tuple(np.array([6.4, 4.8, 3.5]) * build * (1.08 - 0.14 * femininity)),
        leg_widths=tuple(np.array([10.4, 6.8, 6.9, 3.9]) * build**0.8),
        frame=TorsoFrame(
            lean=float(rng.normal(0, 0.035)),
            curve=float(rng.normal(0, 0.03)),
            sway=float(rng.normal(0, 0.02)),
            shoulder_tilt=float(np.clip(rng.normal(0, 0.05), -0.11, 0.11)),
            hip_tilt=float(np.clip(rng.normal(0, 0.045), -0.1, 0.1)),
        ),
        yaw=float(np.clip(rng.normal(0, 0.17), -0.36, 0.36)),
        arms=np.zeros((2, 3, 2)),
        legs=np.zeros((2, 3, 2)),
        arm_poses=("hang", "hang"),
        head=np.zeros(2),
        face_yaw=0.0,
        head_tilt=float(rng.normal(0, 0.05)),
        light=float(rng.choice([-1, 1]) * rng.uniform(0.25, 0.9)),
    )
    body.face_yaw = float(np.clip(body.yaw * 1.2 + rng.normal(0, 0.12), -0.45, 0.45))
    body.arm_poses, body.arms = _draw_arms(body, rng)
    body.legs = _draw_legs(body, rng)
    top = body.frame.to_world(np.array([body.yaw * 4, -24.5]))
    body.head = moved(top, body.head_tilt * 18, 0)
    return body


def _draw_arms(body: Body, rng: np.random.Generator) -> tuple[tuple[str, str], np.ndarray]:
    degrees = np.pi / 180
    poses, arms = [], []
    for side in (0, 1):
        pose = str(rng.choice(ARM_POSES, p=[0.34, 0.1, 0.17, 0.15, 0.12, 0.09, 0.03]))
        a, b = rng.uniform(0, 1, 2)
        if "across" in poses and pose == "across":
            pose = "hang"
        upper, fore, reach = {
            "hang": (5 + 11 * a, 3 + 12 * b, 1.0),
            "loose": (14 + 14 * a, 6 + 18 * b, 1.0),
            "hip": (34 + 16 * a, -(44 + 22 * b), 1.0),
            "across": (2 + 10 * a, -(66 + 40 * b), 0.98),
            "pocket": (14 + 12 * a, -(6 + 16 * b), 1.0),
            "behind": (12 + 10 * a, -(24 + 26 * b), 0.92),
            "up": (112 + 24 * a, -(108 + 14 * b), 0.95),
        }[pose]
        poses.append(pose)
        arms.append(_arm(body, side, upper * degrees, fore * degrees, reach))
    return (poses[0], poses[1]), np.stack(arms)


def _arm(body: Body, side: int, upper: float, fore: float, reach: float = 1.0) -> np.ndarray:
    """Shoulder, elbow, wrist for angles outward from straight down, in radians."""
    out = (-1, 1)[side]
    shoulder = body.frame.to_world(np.array([out * (body.shoulder - 5.0), 11.5]))
    elbow = shoulder + 33 * np.array([out * np.sin(upper), np.cos(upper)])
    wrist = elbow + 30 * reach * np.array([out * np.sin(fore), np.cos(fore)])
    return np.stack([shoulder, elbow, wrist])


def _draw_legs(body: Body, rng: np.random.Generator) -> np.ndarray:
    stance = rng.choice(["straight", "relaxed", "wide", "crossed"], p=[0.4, 0.32, 0.18, 0.1])
    thighs, shins = rng.uniform(-0.01, 0.035, 2), rng.uniform(-0.02, 0.02, 2)
    loose = int(rng.integers(2))
    if stance == "relaxed":
        thighs[loose] += rng.uniform(0.04, 0.1)
        shins[loose] += rng.uniform(-0.02, 0.09)
    elif stance == "wide":
        thighs += rng.uniform(0.04, 0.09)
        shins += rng.uniform(0.02, 0.06)
    elif stance == "crossed":
        thighs[loose] -= rng.uniform(0.04, 0.08)
        shins[loose] -= rng.uniform(0.06, 0.12)
    return np.stack([_leg(body, side, thighs[side], shins[side]) for side in (0, 1)])


def _leg(body: Body, side: int, thigh: float, shin: float) -> np.ndarray:
    out = (-1, 1)[side]
    hip = body.frame.to_world(np.array([out * (body.hip - body.leg_widths[0] + 0.5), HIPS + 4]))
    knee = hip + (KNEE - HIPS - 4) * np.array([out * np.sin(thigh), np.cos(thigh)])
    ankle = knee + (ANKLE - KNEE) * np.array([out * np.sin(shin), np.cos(shin)])
    return np.stack([hip, knee, ankle])
