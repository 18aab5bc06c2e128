"""The main job, from a bare machine to a closed shop, and a table of real attempts against what the policy says.

What stands here also serves the scenarios: installing by Helm as a person would, and the shop with its programs.
"""
