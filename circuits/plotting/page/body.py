"""The elements of the page that the script fills; ``view`` is what each model has."""

BODY = """<div class="controls" role="group" aria-label="selection">
<label>layer <select id="layer"></select></label>
<label>head <select id="head"></select></label>
<label>query <select id="row"></select></label>
<label hidden>attention of <select id="example"></select></label>
<label>compare heads by <select id="target"></select></label>
<span id="training" hidden><label>training step <input type="range" id="step" min="0" value="0"></label>
<output id="reached" for="step"></output> <button type="button" id="play" class="plain">play</button></span>
</div>
<div class="controls">
<fieldset><legend>colour scale</legend>
<label><input type="radio" name="scale" id="linear" checked>linear</label>
<label><input type="radio" name="scale" id="root">square root</label>
<span>0 <canvas id="bar" width="256" height="1" aria-hidden="true"></canvas> 1</span></fieldset>
<ul id="legend" aria-label="roles"></ul>
<span><button type="button" id="png" class="plain">save PNG</button>
<button type="button" id="csv" class="plain">save CSV</button></span>
</div>
<p id="live" class="unseen" role="status"></p>
<main></main>
<template id="view">
<article>
<div class="stack">
<section><h2 class="all"></h2>
<div class="scroll">
<div class="thumbnails" role="group" aria-label="attention heads; arrow keys select one"></div></div></section>
<section><h2>All layers and heads</h2>
<div class="scroll"><table class="everywhere"></table></div>
<p class="soft what"></p></section>
</div>
<section class="enlarged"><h2 class="opened"></h2>
<div><canvas class="pattern" tabindex="0" role="application" aria-roledescription="attention pattern"></canvas></div>
</section>
<aside><div class="head"><h2 class="read"></h2>
<label class="soft"><input type="checkbox" class="sorted">largest first</label></div>
<p class="soft cell"></p>
<div class="scrolled" tabindex="0" role="region" aria-label="attention of the query by key">
<table><thead class="unseen">
<tr><th scope="col">position</th><th scope="col">key</th><th scope="col">bar</th><th scope="col">attention</th></tr>
</thead>
<tbody class="bars"></tbody></table></div>
<div class="by-role"><h2>By role</h2><div class="share"></div><ul class="masses"></ul></div>
</aside>
</article>
</template>"""
