"""Is the same computation better spent on depth than on width? Test error by depth at equal multiply-adds."""

from ensemble.cli import script

if __name__ == "__main__":
    script("depth_study")
