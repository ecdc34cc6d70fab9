"""MagicPose on body shapes that no training has seen (Table 4); with --motions on captured motions too.

python -m sample.evaluate configs/magicpose_generalisation.py --seeds 950000:950032
python -m sample.evaluate configs/magicpose_generalisation.py --seeds 950000:950008 --motions FOLDER_OF_FOLDERS
"""

import dataclasses

from configs.magicpose_eval import config as usual

config = dataclasses.replace(usual, name="magicpose_generalisation", shape="unusual", variants=())
