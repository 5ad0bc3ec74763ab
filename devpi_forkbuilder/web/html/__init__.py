"""Pages for people: the forks of an index, one build, the whole server.

Enter at `forks.ForksPage`, `build.BuildPage` and `operators.operators_page`. `render` makes a response of a template in
`web/templates`, in devpi-web's look where devpi-web is installed; `assets` serves the style sheet and the script.
The views stand on those of `web.api`: the same rights, the same states.
"""
