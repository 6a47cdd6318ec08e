"""Options of the public functions: one frozen class a question, from which function, command and documentation follow.

How to add a question, in three steps:

1. Describe its options, once, in a module of this folder. It imports neither NumPy nor any room, so that `anda --help` and
   `import anda_codesign` stay fast; types of other rooms stand in quotes::

       @dataclass(frozen=True, kw_only=True)
       class StudyOptions:
           name: Annotated[str, Option("The study: fig5, fig6 or fig7.", argument=True)]
           tokens: Annotated[int, Option("Length of a block.", unit="tokens")] = 512
           text: Annotated["str | Path", Option("wiki, brown or a text file.")] = "wiki"
           plot: Annotated[Path | None, Option("Draw the study.", metavar="FILE")] = None

2. Answer it with a function of such an object that returns a `Result`. `question` makes the public function: it takes the
   options as keywords, and its signature and docstring list them::

       @question(StudyOptions)
       def study(options: StudyOptions) -> StudyResult:
           '''Measure what ... costs in perplexity.

           Returns
           -------
           StudyResult
               One record a measurement.
           '''

   `study(name="fig5")` is then typed for editors and pyright. ``study(**vars(options))`` asks with an options object.

3. Derive the command. It gets the values of all options, in a dictionary that the public function takes, and the
   command's own options after it, which may be described by `Option` or typer::

       @command(StudyOptions)
       def study(given: Given, *, json: JsonOption = None) -> None:
           '''Measure what ... costs in perplexity.'''
           from ..study.measure import study as answer

           result = answer(**given)

An option's type on the command line is its own if that is bool, int, float, Path or a list of these, and text otherwise.
`Option.parse` turns the text into the value that the function takes; without it, the function takes the text.
"""
