"""What a page is asked in the browser: scripts that return its faults, none when all is well."""

BROKEN_PICTURES = """
return [...document.querySelectorAll('img')]
    .filter(image => !image.complete || image.naturalWidth === 0)
    .map(image => image.getAttribute('src'))
"""

# A thumbnail's words are its caption.
PICTURES_WITHOUT_WORDS = """
return [...document.querySelectorAll('article img')]
    .filter(image => !image.alt.trim() && !image.closest('.sphx-glr-thumbcontainer'))
    .map(image => image.getAttribute('src'))
"""

UNDRAWN_FORMULAS = r"""
const texts = [...document.querySelectorAll('article p, article td, article li')]
    .filter(node => !node.closest('pre, code')).map(node => {
        const copy = node.cloneNode(true);
        copy.querySelectorAll('pre, code').forEach(code => code.remove());
        return copy.textContent });
const invisible = [...document.querySelectorAll('math')]
    .filter(node => node.checkVisibility() && !(node.getBoundingClientRect().width > 0));
return texts.filter(text => /\\(frac|sin|cos|sum|mathbf|lVert)|\$[^ $][^$]*\$/.test(text))
    .concat(invisible.map(node => node.textContent))
"""

# Elements that stick out of the screen and do not lie in a box that scrolls by itself.
STICKING_OUT = """
const held = ['auto', 'scroll', 'hidden', 'clip'];
const scrolls = node => node !== document.body
    && (held.includes(getComputedStyle(node).overflowX) || scrolls(node.parentElement));
return document.documentElement.scrollWidth <= window.innerWidth ? [] :
    [...document.querySelectorAll('body *')]
        .filter(node => node.getBoundingClientRect().right > window.innerWidth + 1)
        .filter(node => !scrolls(node))
        .map(node => node.tagName + '.' + node.className).slice(0, 5)
"""

SMALL_TEXT = """
return [...document.querySelectorAll('article p, article li, article td')]
    .filter(node => node.offsetParent && parseFloat(getComputedStyle(node).fontSize) < 14)
    .filter(node => node.textContent.trim() && !node.closest('footer'))
    .map(node => node.textContent.trim().slice(0, 40)).slice(0, 3)
"""

# Contrast by the rule of WCAG 2.2, 1.4.3: 4.5 to 1, for large text 3 to 1.
FAINT_TEXT = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const known = new Map();
const parse = colour => {
    if (!known.has(colour)) {
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
        known.set(colour, [r, g, b, a / 255]) }
    return known.get(colour) };
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
