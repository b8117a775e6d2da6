"""The ids of each line of a file, by Python's tokenizers: ids.py TOKENIZER.json FILE"""

import json
import pathlib
import sys

from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file(sys.argv[1])
tokenizer.no_padding()
tokenizer.no_truncation()
for text in pathlib.Path(sys.argv[2]).read_text(encoding="utf-8").splitlines():
    print(json.dumps(tokenizer.encode(text).ids))
