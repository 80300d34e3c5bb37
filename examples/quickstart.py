"""Fork a computer, work in it, branch it.

It prints:

    a computer with Python 3
    the answer is 42
    main.py: import os; print("the answer is", 6 * int(os.environ["FACTOR"]))
    the branch has main.py, its parent has not touched.txt
    deleted
"""

from __future__ import annotations

from arker import Arker, ArkerError

# For the cloud, use Arker() and set ARKER_API_KEY; nothing else changes.
with Arker.local() as arker:
    with arker.vm("arkuntu").fork(name="quickstart") as computer:
        print("a computer with", computer.run("python3 --version").check().text.split(".")[0])

        # A session is a persistent shell: its folder and variables stay for the next command.
        computer.run("mkdir -p project && cd project && export FACTOR=7")
        program = 'import os; print("the answer is", 6 * int(os.environ["FACTOR"]))'
        computer.sync.write_file("/home/user/project/main.py", program)
        print(computer.run("python3 main.py").check().text, end="")
        print("main.py:", computer.sync.read_file("/home/user/project/main.py").decode())

        # A fork starts with everything its parent has; from then on the two are separate.
        with computer.fork() as branch:
            branch.run("touch touched.txt")
            assert branch.run("ls").text.split() == ["main.py", "touched.txt"]
            assert computer.run("ls").text.split() == ["main.py"]
            print("the branch has main.py, its parent has not touched.txt")

    try:
        computer.run("true")
    except ArkerError as error:
        print("deleted" if error.code == "not_found" else error)
