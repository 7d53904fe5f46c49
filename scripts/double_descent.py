"""Where does the test error peak as networks get wide enough to learn noisy labels, and what removes it?"""

from ensemble.cli import script

if __name__ == "__main__":
    script("double_descent")
