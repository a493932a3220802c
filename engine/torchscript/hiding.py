"""Maps from scores alone, where parts of the image or of a layer are hidden; TorchScript compiles it too."""

import torch
from torch import Tensor

from ..methods.masks import cells, windows
from .starting import StartingAnywhere


class Hiding(StartingAnywhere):
    """What a file answers by hiding."""

    def by_hiding(
        self,
        x: Tensor,
        seed: Tensor,
        path: str,
        options: dict[str, float],
        steps: int,
        reference: Tensor,
        progress: Tensor,
    ) -> Tensor:
        """Maps [N, S, S] from the scores of images of which parts are hidden, in so many ways.

        windows: the mean over the windows that cover a pixel of what the score loses.
        cells: the mean of the scores of what was kept, each weighted by how much of the pixel was, over the chance
        to be kept.
        """
        images = x.shape[0]
        height, width = self.size[0], self.size[1]
        total = torch.zeros([images, height, width], dtype=torch.float64, device=x.device)
        covered = torch.zeros([height, width], dtype=torch.float64, device=x.device)
        whole = torch.empty(0)
        # The image itself goes along with the first part: alone, kernels laid out for many take it as long.
        most = max(2, self.room // images)
        part = self.part_of(steps + 1, most)
        done = 0
        while done < steps:
            end = min(steps, done + part - 1 if done == 0 else done + part)
            if path == "windows":
                kept = windows(height, width, options, done, end).to(x.device)
            else:
                kept = cells(height, width, options, done, end).to(x.device)
            visible = kept[:, None, None].to(x.dtype)
            points = (x * visible + reference * (1 - visible)).flatten(0, 1)
            found = self.scores_at(torch.cat([x, points]) if done == 0 else points, seed)
            if done == 0:
                whole, found = found[0], found[1:]
            if path == "windows":
                total += torch.einsum("mn,mhw->nhw", whole - found, 1 - kept)
                covered += (1 - kept).sum(0)
            else:
                total += torch.einsum("mn,mhw->nhw", found, kept)
                covered += options["keep"] * (end - done)
            done = end
            self.tell(progress, done, steps)
        return (total / covered).to(self.like.dtype)

    def by_layer(
        self,
        x: Tensor,
        seed: Tensor,
        path: str,
        layer: int,
        steps: int,
        reference: Tensor,
        progress: Tensor,
    ) -> Tensor:
        """Maps [N, S, S] from what the score becomes where a layer's values are changed, in all `steps` ways or in
        the first so many.

        places: the score of each place of the layer alone, all others zero.
        channels: the layer's maps, each weighted by the share of the score that is lost without it, none of a
        score of zero.
        activations: each weighted by the softmax over all of what the image scores under it as a mask, above the
        reference's score.
        """
        if layer not in self.tails:
            raise ValueError(f"the logits hang on more than the values of layer {layer}, {self.layers[layer]}")
        logits, primals = self.primals(x)
        whole, value = self.scored(logits, seed)[0], primals[layer].detach()
        images, channels, tall, wide = value.shape[0], value.shape[1], value.shape[2], value.shape[3]
        ways = tall * wide if path == "places" else channels
        parts: list[Tensor] = []
        done = 0
        while done < steps:
            end = min(steps, done + max(1, self.room // images))
            own = torch.zeros([end - done, ways], device=value.device, dtype=value.dtype)
            own[:, done:end] = torch.eye(end - done, device=value.device, dtype=value.dtype)
            if path == "places":
                changed = value[None] * own.view(end - done, 1, 1, tall, wide)
                parts.append(self.scored(self.tail_of(layer, changed.flatten(0, 1)), seed))
            elif path == "channels":
                changed = value[None] * (1 - own).view(end - done, 1, channels, 1, 1)
                parts.append(self.scored(self.tail_of(layer, changed.flatten(0, 1)), seed))
            else:
                masks = torch.ops.aten.upsample_bilinear2d(value[:, done:end], self.size, False, None, None)
                low, high = masks.amin([2, 3], keepdim=True), masks.amax([2, 3], keepdim=True)
                masks = ((masks - low) / (high - low).clamp(min=1e-12)).transpose(0, 1)[:, :, None]
                parts.append(self.scores_at((x[None] * masks).flatten(0, 1), seed))
            done = end
            self.tell(progress, done, steps)
        found = torch.cat(parts)
        if path == "places":
            map = torch.zeros([images, ways], dtype=found.dtype, device=found.device)
            map[:, :steps] = found.t()
            map = map.view(images, tall, wide)
        else:
            if path == "channels":
                lost = (whole - found) / torch.where(whole == 0, torch.ones_like(whole), whole)
                weights = torch.where(whole == 0, torch.zeros_like(lost), lost).t()
            else:
                weights = (found - self.of_references(self.forward(reference), seed, False)).softmax(0).t()
            map = torch.relu(torch.einsum("nc,nchw->nhw", weights, value[:, :steps].double()))
        map = map.to(self.like.dtype)[:, None]
        large: Tensor = torch.ops.aten.upsample_bilinear2d(map, self.size, False, None, None)
        return large[:, 0]

    def scores_at(self, points: Tensor, seed: Tensor) -> Tensor:
        """What images [M · N, C, S, S] score under the seeds of N: Σ seed · logits, float64 [M, N]."""
        return self.scored(self.forward(points), seed)

    def scored(self, logits: Tensor, seed: Tensor) -> Tensor:
        """As `scores_at`, of logits [M · N, …]."""
        wide = seed.double().flatten(1)
        found: Tensor = (logits.double().flatten(1).view(-1, wide.shape[0], wide.shape[1]) * wide).sum(2)
        return found

    def of_references(self, logits: Tensor, seed: Tensor, all_pairs: bool) -> Tensor:
        """What references score, of whom these are the logits [R, …], under the seeds of N images: [R, N]; [1, N]
        where each has one."""
        if logits.shape[0] == seed.shape[0] and not all_pairs:
            return self.scored(logits, seed)
        return torch.matmul(logits.double().flatten(1), seed.double().flatten(1).t())

    def part_of(self, steps: int, most: int) -> int:
        """How many steps go at once, at most so many, in parts of one size."""
        parts = (steps + most - 1) // most
        return (steps + parts - 1) // parts

    def tell(self, progress: Tensor, done: int, steps: int) -> None:
        """Write how far a question is, and stop where whoever watches wants that."""
        if progress.numel() > 0:
            progress[0], progress[1] = done, steps
            if bool(progress[2] != 0):
                raise RuntimeError("the question was stopped by whoever asked it")
