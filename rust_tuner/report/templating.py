"""Loading of the report's templates; all text from files is escaped."""

import functools

import jinja2

from rust_tuner.report.glossary import explained, term_link, terms_in


def environment(*, has_glossary: bool = True) -> jinja2.Environment:
    """The environment of the templates; an undefined name is an error.

    Args:
        has_glossary: whether the page has the entries that terms are linked to.
    """
    loaded = jinja2.Environment(
        loader=jinja2.PackageLoader("rust_tuner.report"),
        # Texts for the Markdown template are escaped before they are passed to it.
        autoescape=jinja2.select_autoescape(["html", "css"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    loaded.filters["explained"] = functools.partial(explained, is_linked=has_glossary)
    loaded.globals |= {
        "term_link": term_link,
        "terms_in": terms_in if has_glossary else lambda texts: [],
    }
    return loaded
