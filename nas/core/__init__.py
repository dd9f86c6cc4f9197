"""Plain data that everything else is made of; imports nothing of this project and no torch.

Read in this order: `choices` (what a search space is made of), `architecture`
(what a search proposes), `work` (what a strategy asks for and is told),
`objective` and `front` (what is good), `registry`, `errors` and `config`.
"""
