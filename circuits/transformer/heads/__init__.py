"""Prediction heads 0 .. k - 1: head m predicts the token m + 1 positions ahead.

Head 0 is always h U, with h the stream after the final norm. Heads m >= 1 differ by kind:

    linear          h U_m, an unembedding of its own (Section 3, "Architectural Design")
    meta            norm(Block_m(stream before the last block)) U (Gloeckle et al. 2024, arXiv:2404.19737)
    transfer        (h W_m) U, W_m of d x d (arXiv:2509.23186)
    transfer-mlp    (h + MLP_m(h)) U
    transfer-block  norm_m(blocks_m(h)) U
    sequential      norm(h_m) U, h_m = Block_m(M_m [RMSNorm(h_{m-1}); RMSNorm(Emb(x_{t+m}))]) (DeepSeek-V3)

With ``head_chain`` the stream of the previous head replaces h. With ``injection``, kappa_m times the embedding of the
next token x_{t+1} is added to the input of transfer head m; in a chain, the embedding of x_{t+m}, the last token before
the one that head m predicts.
"""

from circuits.transformer.heads.linear import LinearHeads
from circuits.transformer.heads.losses import head_losses, logit_losses, shared_losses
from circuits.transformer.heads.shared import SharedHeads
from circuits.transformer.heads.streams import HeadContext, Streams

__all__ = ["HeadContext", "LinearHeads", "SharedHeads", "Streams", "head_losses", "logit_losses", "shared_losses"]
