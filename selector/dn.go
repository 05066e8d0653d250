package selector

import (
	"fmt"
	"strings"

	"github.com/acitap/acitap/apic"
)

// maxLiterals bounds what stands behind the first star of a pattern, so that
// its states fit a few words.
const maxLiterals = 64*stateWords - 1

const stateWords = 8

// maxMatched is far above the DNs of a fabric, a few hundred bytes. A longer
// one matches no pattern.
const maxMatched = 16 << 10

// A dnTest is one value of dn.
type dnTest struct {
	text   string
	exact  apic.DN // the object itself
	below  apic.DN // everything below it
	prefix apic.DN // of a pattern: the whole RNs that it begins with, "" for none
	glob   *glob
}

func parseDN(s string) (dnTest, error) {
	t := dnTest{text: s}
	stars := strings.Contains(s, "*")
	name, slash := strings.CutSuffix(s, "/")
	if name == "" && slash {
		return t, fmt.Errorf("%q names no object; everything is found without dn", s)
	}
	dn, err := apic.ParseDN(name)
	switch {
	case err != nil && stars:
		return t, fmt.Errorf("%w; a pattern is written like a DN, with * for text within one RN and ** across RNs, as uni/tn-*/ap-shop", err)
	case err != nil:
		return t, fmt.Errorf("%w; write a DN as uni/tn-prod, one that ends in / for all below it, or a pattern as uni/tn-*/ap-shop", err)
	case !stars && slash:
		t.below = dn
	case !stars:
		t.exact = dn
	default:
		if slash {
			name += "/**"
		}
		if t.glob, err = newGlob(name); err != nil {
			return t, err
		}
		t.prefix = apic.DN(t.glob.prefix[:max(t.glob.border, 0)])
	}
	return t, nil
}

func (t *dnTest) match(dn apic.DN) bool {
	switch {
	case t.exact != "":
		return dn == t.exact
	case t.below != "":
		return dn.Below(t.below)
	}
	return t.glob.match(string(dn))
}

// A glob is a pattern with stars. It walks a DN once and keeps the set of
// states it can be in, one bit for each literal behind the first star that
// has been matched: hostile patterns and DNs cost no more than their lengths
// multiplied, divided by 64.
//
// A slash outside brackets, an RN border, is a symbol of its own, different
// from a slash inside.
type glob struct {
	prefix string // before the first star
	border int    // index of the last RN border in prefix, -1 for none
	depth  int    // of brackets, behind prefix

	states int // literals behind the prefix; the last state is the end
	index  [257]uint8
	masks  [][stateWords]uint64 // by index: the literals that are this symbol; masks[0] none
	any    [stateWords]uint64   // a ** stands at this state
	within [stateWords]uint64   // a * stands at this state
	skip   [stateWords]uint64   // on arrival here the next literal may be left out: the slash behind a whole **
}

const rnBorder = 256

// symbols walks the bytes of a DN as a glob sees them.
type symbols int // depth of brackets

func (d *symbols) next(c byte) int {
	switch c {
	case '[':
		*d++
	case ']':
		if *d > 0 {
			*d--
		}
	case '/':
		if *d == 0 {
			return rnBorder
		}
	}
	return int(c)
}

// newGlob compiles a pattern that [apic.ParseDN] accepts and that holds a star.
func newGlob(p string) (*glob, error) {
	g := &glob{border: -1, masks: make([][stateWords]uint64, 1)}
	star := strings.IndexByte(p, '*')
	g.prefix = p[:star]
	var depth symbols
	for i := range star {
		if depth.next(p[i]) == rnBorder {
			g.border = i
		}
	}
	g.depth = int(depth)
	atBorder := g.border == star-1 // what comes next begins an RN
	for i := star; i < len(p); {
		if p[i] == '*' {
			end := i
			for end < len(p) && p[end] == '*' {
				end++
			}
			whole := atBorder && depth == 0 && end < len(p) && p[end] == '/'
			switch {
			case end-i == 1:
				set(&g.within, g.states)
			case whole && g.states > 0 && has(&g.skip, g.states-1):
				end++ // **/**/ is **/
			default:
				set(&g.any, g.states)
				if whole {
					set(&g.skip, g.states)
				}
			}
			atBorder = atBorder && end > i && p[end-1] == '/'
			i = end
			continue
		}
		if g.states == maxLiterals {
			return nil, fmt.Errorf("the pattern %.60q… is too long: at most %d characters may follow its first star", p, maxLiterals)
		}
		s := depth.next(p[i])
		atBorder = s == rnBorder
		if g.index[s] == 0 {
			g.index[s] = uint8(len(g.masks))
			g.masks = append(g.masks, [stateWords]uint64{})
		}
		set(&g.masks[g.index[s]], g.states)
		g.states++
		i++
	}
	return g, nil
}

func set(b *[stateWords]uint64, i int)      { b[i/64] |= 1 << (i % 64) }
func has(b *[stateWords]uint64, i int) bool { return b[i/64]>>(i%64)&1 != 0 }

func (g *glob) match(dn string) bool {
	rest, ok := strings.CutPrefix(dn, g.prefix)
	if !ok || len(dn) > maxMatched {
		return false
	}
	depth := symbols(g.depth)
	if g.states < 64 {
		state := uint64(1)
		state |= state & g.skip[0] << 1
		for i := range len(rest) {
			s := depth.next(rest[i])
			stay := g.any[0]
			if s != rnBorder {
				stay |= g.within[0]
			}
			arrived := state & g.masks[g.index[s]][0] << 1
			state = arrived | arrived&g.skip[0]<<1 | state&stay
			if state == 0 {
				return false
			}
		}
		return state>>g.states&1 != 0
	}
	var state [stateWords]uint64
	state[0] = 1
	state[0] |= state[0] & g.skip[0] << 1
	words := g.states/64 + 1
	for i := range len(rest) {
		s := depth.next(rest[i])
		mask := &g.masks[g.index[s]]
		var carry, skipped, alive uint64
		for w := range words {
			stay := g.any[w]
			if s != rnBorder {
				stay |= g.within[w]
			}
			step := state[w] & mask[w]
			arrived := step<<1 | carry
			carry = step >> 63
			jump := arrived & g.skip[w]
			state[w] = arrived | jump<<1 | skipped | state[w]&stay
			skipped = jump >> 63
			alive |= state[w]
		}
		if alive == 0 {
			return false
		}
	}
	return has(&state, g.states)
}
