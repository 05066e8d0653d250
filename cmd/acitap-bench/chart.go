package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// A panel is one chart of a picture. Its x axis is logarithmic: what is looked
// for is how something grows over orders of magnitude.
type panel struct {
	title, x, y string
	logY        bool
	series      []series
}

type series struct {
	name   string
	points []point
}

type point struct{ x, y float64 }

// The sizes of a panel, and the room of its axes in it.
const (
	panelWidth, panelHeight = 520.0, 340.0
	left, right, top, below = 62.0, 24.0, 64.0, 52.0
)

// The colours can be told apart by those who do not see red and green, and on
// either ground. Lines differ in their marks too.
const style = `
text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px } .small { font-size: 10.5px; fill: #57606a }
.ground { fill: #ffffff } .axis { stroke: #57606a } .grid { stroke: #d8dee4 }
.s0 { stroke: #0969da; fill: #0969da } .s1 { stroke: #bc4c00; fill: #bc4c00 } .s2 { stroke: #6e7781; fill: #6e7781 }
path.s0, path.s1, path.s2 { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 } .ground { fill: #0d1117 } .axis { stroke: #9198a1 } .grid { stroke: #30363d }
  .s0 { stroke: #58a6ff; fill: #58a6ff } .s1 { stroke: #f0883e; fill: #f0883e } .s2 { stroke: #9198a1; fill: #9198a1 }
  path.s0, path.s1, path.s2 { fill: none }
}
`

// drawing makes an SVG of panels, two a row, with a line of text below. It
// brings its own ground, so that it can be read on a light page and on a dark
// one.
func drawing(title string, panels []panel, footer []string) string {
	rows := (len(panels) + 1) / 2
	width, height := 2*panelWidth, float64(rows)*panelHeight+18*float64(len(footer))+14
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="%s">`+"\n", width, height, width, height, escape(title))
	fmt.Fprintf(&out, "<title>%s</title>\n<style>%s</style>\n", escape(title), style)
	fmt.Fprintf(&out, `<rect class="ground" width="%.0f" height="%.0f"/>`+"\n", width, height)
	for i, p := range panels {
		fmt.Fprintf(&out, `<g transform="translate(%.0f %.0f)">`+"\n", float64(i%2)*panelWidth, float64(i/2)*panelHeight)
		p.draw(&out)
		out.WriteString("</g>\n")
	}
	for i, line := range footer {
		fmt.Fprintf(&out, `<text class="small" x="%.0f" y="%.0f">%s</text>`+"\n", left, float64(rows)*panelHeight+18*float64(i+1), escape(line))
	}
	out.WriteString("</svg>\n")
	return out.String()
}

func (p *panel) draw(out *strings.Builder) {
	minX, maxX, minY, maxY := math.Inf(1), 0.0, math.Inf(1), 0.0
	for _, s := range p.series {
		for _, q := range s.points {
			minX, maxX = min(minX, q.x), max(maxX, q.x)
			minY, maxY = min(minY, q.y), max(maxY, q.y)
		}
	}
	if maxX == 0 {
		return
	}
	x0, x1 := math.Floor(math.Log10(minX)+1e-9), math.Log10(maxX)
	if x1-x0 < 1 {
		x1 = x0 + 1
	}
	wide, high := panelWidth-left-right, panelHeight-top-below
	atX := func(v float64) float64 { return left + (math.Log10(v)-x0)/(x1-x0)*wide }
	var ticks []float64
	var atY func(float64) float64
	if p.logY {
		y0, y1 := math.Floor(math.Log10(max(minY, 1e-3))), math.Ceil(math.Log10(max(maxY, 2e-3)))
		y1 = max(y1, y0+1)
		atY = func(v float64) float64 {
			return top + high - (max(math.Log10(max(v, 1e-9)), y0)-y0)/(y1-y0)*high
		}
		for e := y0; e <= y1; e++ {
			ticks = append(ticks, math.Pow(10, e))
		}
	} else {
		step := nice(maxY / 4)
		end := math.Ceil(maxY*1.05/step) * step
		atY = func(v float64) float64 { return top + high - v/end*high }
		for i := 0; float64(i)*step <= end*1.001; i++ {
			ticks = append(ticks, float64(i)*step)
		}
	}
	fmt.Fprintf(out, `<text class="title" x="%.0f" y="22">%s</text>`+"\n", left, escape(p.title))
	for _, v := range ticks {
		fmt.Fprintf(out, `<line class="grid" x1="%.0f" x2="%.1f" y1="%.1f" y2="%.1f"/><text x="%.0f" y="%.1f" text-anchor="end">%s</text>`+"\n",
			left, left+wide, atY(v), atY(v), left-6, atY(v)+4, label(v))
	}
	for e := x0; e <= x1+1e-9; e++ {
		x := atX(math.Pow(10, e))
		fmt.Fprintf(out, `<line class="axis" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n",
			x, x, top+high, top+high+5, x, top+high+19, label(math.Pow(10, e)))
	}
	if end := atX(maxX); end-atX(math.Pow(10, math.Floor(x1+1e-9))) > 45 { // how far it goes
		fmt.Fprintf(out, `<text x="%.1f" y="%.1f" text-anchor="end">%s</text>`+"\n", end, top+high+19, label(maxX))
	}
	fmt.Fprintf(out, `<line class="axis" x1="%.0f" x2="%.1f" y1="%.1f" y2="%.1f"/>`+"\n", left, left+wide, top+high, top+high)
	fmt.Fprintf(out, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", left+wide/2, top+high+40, escape(p.x))
	fmt.Fprintf(out, `<text x="14" y="%.1f" text-anchor="middle" transform="rotate(-90 14 %.1f)">%s</text>`+"\n", top+high/2, top+high/2, escape(p.y))
	legend := left
	for i, s := range p.series {
		kind := fmt.Sprintf("s%d", i%3)
		fmt.Fprintf(out, `<g class="%s">%s</g><text x="%.1f" y="46">%s</text>`+"\n", kind, mark(i, legend+5, 42), legend+14, escape(s.name))
		legend += 34 + 6.7*float64(len([]rune(s.name)))
		var path strings.Builder
		for j, q := range s.points {
			fmt.Fprintf(&path, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[j == 0], atX(q.x), atY(q.y))
		}
		fmt.Fprintf(out, `<path class="%s" d="%s"/>`+"\n", kind, path.String())
		for j, q := range s.points {
			fmt.Fprintf(out, `<g class="%s">%s</g>`, kind, mark(i, atX(q.x), atY(q.y)))
			// Where points are close only every other has its number. It stands below
			// where another line is above.
			if len(s.points) > 9 && j%2 == 1 {
				continue
			}
			dy := -8.0
			if p.covered(i, q) {
				dy = 17
			}
			anchor := "middle"
			switch x := atX(q.x); {
			case x > left+wide-14:
				anchor = "end"
			case x < left+14:
				anchor = "start"
			}
			fmt.Fprintf(out, `<text class="small" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", atX(q.x), atY(q.y)+dy, anchor, label(q.y))
		}
	}
}

// covered says whether another series is above the point of series i.
func (p *panel) covered(i int, q point) bool {
	for k, s := range p.series {
		for _, o := range s.points {
			if k != i && o.x == q.x && (o.y > q.y || o.y == q.y && k > i) {
				return true
			}
		}
	}
	return false
}

// mark is a circle, a square or a diamond.
func mark(i int, x, y float64) string {
	switch i % 3 {
	case 0:
		return fmt.Sprintf(`<circle cx="%.1f" cy="%.1f" r="3.5"/>`, x, y)
	case 1:
		return fmt.Sprintf(`<rect x="%.1f" y="%.1f" width="7" height="7"/>`, x-3.5, y-3.5)
	}
	return fmt.Sprintf(`<rect x="%.1f" y="%.1f" width="6.5" height="6.5" transform="rotate(45 %.1f %.1f)"/>`, x-3.25, y-3.25, x, y)
}

// nice rounds up to 1, 2 or 5 of a power of ten.
func nice(v float64) float64 {
	if v <= 0 {
		return 1
	}
	e := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*e >= v {
			return m * e
		}
	}
	return 10 * e
}

func label(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 1e6:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v/1e6), ".0") + "M"
	case v >= 100:
		return thousands(int(v + 0.5))
	case v >= 10:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
	case v >= 0.1:
		return strings.TrimSuffix(strings.TrimSuffix(fmt.Sprintf("%.2f", v), "0"), ".0")
	}
	return fmt.Sprintf("%.2g", v)
}

func escape(s string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(s)) // a Builder takes everything
	return out.String()
}
