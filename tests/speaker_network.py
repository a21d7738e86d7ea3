"""A small speaker verification network as WeSpeaker exports them."""

import torch


def network(path, n_bands=80):
    """A small speaker network of the exported kind: statistics of the frames, projected."""

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.frames = torch.nn.Linear(n_bands, 32)
            self.embed = torch.nn.Linear(64, 16)

        def forward(self, feats):
            frames = torch.relu(self.frames(feats))
            return self.embed(torch.cat([frames.mean(dim=1), frames.std(dim=1)], dim=1))

    torch.onnx.export(
        Network(),
        (torch.zeros(1, 200, n_bands),),
        path,
        input_names=["feats"],
        output_names=["embs"],
        dynamic_axes={"feats": {0: "B", 1: "T"}, "embs": {0: "B"}},
        dynamo=False,
    )
    return path
