"""Mustachio, Postmark's template language: pure, usable alone.

template = parse("Hello {{name}}")
template.render({"name": "Ann"})
"""

from relay.core.errors import TemplateError, TemplateFault, TemplateRenderError, TemplateSyntaxError
from relay.mustachio.template import Template, parse

__all__ = [
    "Template",
    "TemplateError",
    "TemplateFault",
    "TemplateRenderError",
    "TemplateSyntaxError",
    "parse",
]
