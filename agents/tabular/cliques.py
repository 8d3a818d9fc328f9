"""Who shares whose slack: cliques that cover a neighbourhood, so that those who share hear one another."""

from __future__ import annotations


def clique_cover(neighbours: tuple[tuple[int, ...], ...]) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """``cover[h]``: cliques of the kappa-th power that partition N_k(h), h included.

    ``neighbours[i]``: the others within kappa hops of i. Greedy in id order: an agent joins the first clique
    all of whose members it hears (a greedy colouring of the complement of the induced power graph). Two on a path.
    """
    cover = []
    for agent, others in enumerate(neighbours):
        cliques: list[list[int]] = []
        for member in sorted((*others, agent)):
            for clique in cliques:
                if all(mate in neighbours[member] for mate in clique):
                    clique.append(member)
                    break
            else:
                cliques.append([member])
        cover.append(tuple(tuple(clique) for clique in cliques))
    return tuple(cover)
