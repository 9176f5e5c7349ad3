"""Neural style: an image with the content of one and the textures of another, by L-BFGS."""

import copy

import fovea as torch
import fovea.nn as nn
import fovea.nn.functional as F
import fovea.optim as optim
import numpy as np

content_layers_default = ["conv_4"]
style_layers_default = ["conv_1", "conv_2", "conv_3"]


class ContentLoss(nn.Module):
    def __init__(self, target):
        super(ContentLoss, self).__init__()
        self.target = target.detach()

    def forward(self, input):
        self.loss = F.mse_loss(input, self.target)
        return input


def gram_matrix(input):
    a, b, c, d = input.size()
    features = input.view(a * b, c * d)
    G = torch.mm(features, features.t())
    return G.div(a * b * c * d)


class StyleLoss(nn.Module):
    def __init__(self, target_feature):
        super(StyleLoss, self).__init__()
        self.target = gram_matrix(target_feature).detach()

    def forward(self, input):
        G = gram_matrix(input)
        self.loss = F.mse_loss(G, self.target)
        return input


class Normalization(nn.Module):
    def __init__(self, mean, std):
        super(Normalization, self).__init__()
        self.mean = torch.tensor(mean).view(-1, 1, 1)
        self.std = torch.tensor(std).view(-1, 1, 1)

    def forward(self, img):
        return (img - self.mean) / self.std


def backbone():
    """Random features, from NumPy, so that they are the same everywhere."""
    rng = np.random.default_rng(0)
    layers = []
    for i, (cin, cout) in enumerate([(3, 16), (16, 16), (16, 24), (24, 24)]):
        conv = nn.Conv2d(cin, cout, 3, padding=1)
        weight = rng.normal(0, (2 / (9 * cin)) ** 0.5, (cout, cin, 3, 3))
        conv.weight.data.copy_(torch.from_numpy(weight))
        nn.init.zeros_(conv.bias)
        layers += [conv, nn.ReLU(inplace=True)]
        if i == 1:
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers).eval()


def get_style_model_and_losses(cnn, style_img, content_img):
    normalization = Normalization([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    content_losses, style_losses = [], []
    model = nn.Sequential(normalization)
    i = 0
    for layer in cnn.children():
        if isinstance(layer, nn.Conv2d):
            i += 1
            name = "conv_{}".format(i)
        elif isinstance(layer, nn.ReLU):
            name = "relu_{}".format(i)
            layer = nn.ReLU(inplace=False)
        elif isinstance(layer, nn.MaxPool2d):
            name = "pool_{}".format(i)
        else:
            raise RuntimeError("Unrecognized layer: {}".format(layer.__class__.__name__))
        model.add_module(name, layer)
        if name in content_layers_default:
            content_loss = ContentLoss(model(content_img).detach())
            model.add_module("content_loss_{}".format(i), content_loss)
            content_losses.append(content_loss)
        if name in style_layers_default:
            style_loss = StyleLoss(model(style_img).detach())
            model.add_module("style_loss_{}".format(i), style_loss)
            style_losses.append(style_loss)
    for i in range(len(model) - 1, -1, -1):
        if isinstance(model[i], ContentLoss) or isinstance(model[i], StyleLoss):
            break
    return model[:(i + 1)], style_losses, content_losses


def run_style_transfer(cnn, content_img, style_img, input_img, num_steps, style_weight=1e4):
    model, style_losses, content_losses = get_style_model_and_losses(
        copy.deepcopy(cnn), style_img, content_img)
    input_img.requires_grad_(True)
    model.eval()
    model.requires_grad_(False)
    optimizer = optim.LBFGS([input_img], line_search_fn="strong_wolfe")
    run, history = [0], []
    while run[0] <= num_steps:

        def closure():
            with torch.no_grad():
                input_img.clamp_(0, 1)
            optimizer.zero_grad()
            model(input_img)
            style_score = sum(sl.loss for sl in style_losses) * style_weight
            content_score = sum(cl.loss for cl in content_losses)
            loss = style_score + content_score
            loss.backward()
            run[0] += 1
            history.append((style_score.item(), content_score.item()))
            if run[0] % 20 == 0:
                print("run {}: Style Loss : {:4f} Content Loss: {:4f}".format(
                    run[0], *history[-1]))
            return style_score + content_score

        optimizer.step(closure)
    with torch.no_grad():
        input_img.clamp_(0, 1)
    return input_img, history


def images(size=32):
    y, x = np.mgrid[:size, :size] / size
    content = np.stack([(x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.1, x, y])
    stripes = np.sin(20 * (x + y)) / 2 + 0.5
    style = np.stack([stripes, 1 - stripes, 0.3 + 0 * x])
    return [torch.from_numpy(image.astype("float32")).unsqueeze(0) for image in (content, style)]


def main(num_steps=40):
    content_img, style_img = images()
    output, history = run_style_transfer(
        backbone(), content_img, style_img, content_img.clone(), num_steps)
    styles = [style for style, _ in history]
    print(f"{len(history)} evaluations, style {styles[0]:.4f} to {styles[-1]:.4f}")
    return {
        "first": styles[0],
        "thirtieth": styles[29],
        "style": min(styles),
        "content": history[29][1],
        "mean": output.mean().item(),
    }


if __name__ == "__main__":
    main()
