"""python -m scnas_keras: the commands, as the program `scnas` has them. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras.front_door import main

if __name__ == "__main__":
    main()
