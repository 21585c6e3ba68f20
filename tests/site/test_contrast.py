"""Text stands out from its background, by the rule of WCAG 2.2 (1.4.3), in both colour schemes."""

import pytest

FAINT_TEXT = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const parse = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255] };
const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
const background = node => {
    const layers = [];
    for (; node; node = node.parentElement) {
        const colour = parse(getComputedStyle(node).backgroundColor);
        if (colour[3] > 0) layers.push(colour);
        if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]) };
const light = colour => colour.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const found = new Map();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    if (!text || !node.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (node.closest('script, style, noscript, [aria-hidden=true]')) continue;
    const style = getComputedStyle(node), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700);
    const below = background(node), ink = over(parse(style.color), below);
    const pair = [light(ink), light(below)].sort((a, b) => b - a);
    const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (contrast < (large ? 3 : 4.5)) found.set(node.tagName + '.' + node.className,
        `${contrast.toFixed(2)} ${node.tagName}.${node.className}: ${text.slice(0, 30)}`);
}
return [...found.values()]
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(browser, root, pages, screen, scheme):
    screen(1280, scheme)
    faults = []
    for page in pages:
        browser.get(f"{root}/{page}")
        assert browser.execute_script("return document.documentElement.dataset.theme") == scheme
        faults += [f"{page}: {text}" for text in browser.execute_script(FAINT_TEXT)]
    assert not faults, "\n".join(faults)
