"""Prediction heads: head m = 1..k predicts the token m positions ahead (taps and indices count heads from 0).

The first head is always h U, with h the stream after the final norm. The others differ by kind:

    linear          h U_m, an unembedding of its own (Section 3, "Architectural Design")
    meta            norm(Block_m(stream before the last block)) U (Gloeckle et al. 2024, arXiv:2404.19737)
    transfer        (h W_m) U, W_m of d x d (arXiv:2509.23186)
    transfer-mlp    (h + MLP_m(h)) U
    transfer-block  norm_m(blocks_m(h)) U
    sequential      norm(h_m) U, h_m = Block_m(M_m [RMSNorm(h_{m-1}); RMSNorm(Emb(x_{t+m-1}))]) (DeepSeek-V3)

With ``head_chain`` the stream of the previous head replaces h. With ``injection``, kappa_m times the embedding of the
next token is added to what a transfer head reads; in a chain, that of the last token that the head may know.
"""

from circuits.transformer.heads.linear import LinearHeads
from circuits.transformer.heads.losses import head_losses, logit_losses, shared_losses
from circuits.transformer.heads.shared import SharedHeads, head_taps
from circuits.transformer.heads.streams import HeadContext, Streams

__all__ = ["HeadContext", "LinearHeads", "SharedHeads", "Streams"]
__all__ += ["head_losses", "head_taps", "logit_losses", "shared_losses"]
