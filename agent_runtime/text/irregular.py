"""Irregular forms of English words, which a stemmer does not lead back to their base."""

from __future__ import annotations

_FORMS = """
    be was were been; become became; begin began begun; bend bent; bind bound; bite bit bitten;
    blow blew blown; break broke broken; bring brought; build built; burn burnt; buy bought;
    catch caught; choose chose chosen; come came; cut; deal dealt; dig dug; do did done;
    draw drew drawn; drink drank drunk; drive drove driven; eat ate eaten; fall fell fallen;
    feed fed; feel felt; fight fought; find found; fit; fly flew flown; forget forgot forgotten;
    freeze froze frozen; get got gotten; give gave given; go went gone; grow grew grown;
    hang hung; have had; hear heard; hide hid hidden; hold held; keep kept; know knew known;
    lay laid; lead led; learn learnt; leave left; lend lent; let; lie lay lain; light lit;
    lose lost; make made; mean meant; meet met; pay paid; prove proven; put; read; ride rode ridden;
    ring rang rung; rise rose risen; run ran; say said; see saw seen; sell sold; send sent;
    sew sewn; shake shook shaken; shine shone; shoot shot; show shown; shrink shrank shrunk;
    shut; sing sang sung; sink sank sunk; sit sat; sleep slept; slide slid; smell smelt;
    speak spoke spoken; spend spent; spill spilt; spin spun; split; spread; stand stood;
    steal stole stolen; stick stuck; strike struck; swear swore sworn; sweep swept;
    swell swelled swollen; swim swam swum; take took taken; teach taught; tear tore torn;
    tell told; think thought; throw threw thrown; understand understood; wake woke woken;
    wear wore worn; weave wove woven; win won; wind wound; withdraw withdrew withdrawn;
    write wrote written; cheap cheaper cheapest; heavy heavier heaviest; early earlier earliest;
    late later latest; long longer longest; big bigger biggest; large larger largest;
    fast faster fastest; child children; person people; foot feet; tooth teeth; man men;
    woman women; shelf shelves; half halves; leaf leaves; knife knives
"""

BASE = {
    form: base
    for group in _FORMS.split(";")
    for base, *forms in [group.split()]
    for form in forms
    if form not in ("found", "ground", "left", "lay", "wound", "leaves")
}
"""Form to base. Forms that are words of their own are left out."""
