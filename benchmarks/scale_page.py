"""The words of docs/scale.md, which `scale` puts its figures into."""

TEXT = """# From one photo to a data set

Made by `python -m benchmarks.scale --photos {count} --long {rows} --rounds {rounds}`.

```bash
pip install "convlens[batch]"
convlens batch photos/ -o rows --methods hires_cam,lrp_epsilon_plus@blocks.4.2
convlens report rows -o report.html
```

`photos/` may be a folder (folders in it that are called like classes are labels), a `.csv` or `.parquet` with a
column `path` and maybe one called `label`, a `.tar` of WebDataset, or a folder that Hugging Face `datasets`
saved. Photos and rows may lie at an address, `s3://bucket/photos`, `gs://…`, `hf://…`: whatever fsspec knows, by
the package for it (s3fs, gcsfs, …) and its credentials. `--target` is the top class, the `label`, the top one
rather than the `runner-up`, or a class. `hires_cam@all` asks every layer at once, from one pass. `--smooth 25`
takes the mean over noisy copies, `--option integrated_gradients.steps=50` and `--baseline blur` say how methods
of many passes go. `--trust deletion,insertion` measures each map beside controls, `--overlays DIR`, `--coco
FILE`, `--label-studio FILE` and `--zarr DIR` (an array for each question, so for each layer of `@all`) write
what other tools read. In Python:

```python
explainer = convlens.open_model("efficientnet_lite0")
convlens.explain_folder("photos", "rows", explainer, convlens.Questions(("hires_cam",)))
for map in convlens.read_maps("rows"):
    map.path, map.values.shape, map.boxes, map.overlay()
```

## What a row is

One row for each photo, in `rows/part-*.parquet` (zstd): its path, size, label, the five likeliest classes, and
for each question the map at its layer's own size with the layer's stride and offset, boxes in the photo's
pixels, and what arrived or is missing where that is defined. A photo that can't be read is a row with the
reason. The file's metadata tell program, question, model and versions. pandas, `datasets`, DuckDB, Polars and
Spark read them as they are.

A map of {shape} takes {bytes} bytes a photo so, with all else in the row.

## Never lost, never repeated

A part bears its name only once it is whole, so a run that is killed at any moment, and started again with the
same command, ends with each photo once (tests/batch kills it twenty times, and twenty times on Ray). Another
model or question is refused in the same folder; so is a second process, but at an address, where nothing can be
locked: start one. `--retry-errors` asks again about photos that could not be read. A disk that is about to be
full is told before it is.

## How fast

{machine}

{count} photos of {side} pixels, JPEG, {rounds} interleaved rounds, the median of each:

| what | photos a second | of the bare loop |
| --- | --- | --- |
{rates}

The bare loop reads, decodes, preprocesses and asks, {batch} photos at once, and keeps nothing. captum asks the
same of the network itself, by `LayerGradCam`, with photos from a `DataLoader` with one worker. Ray's rates are
those after the first batch: {cores} actors are at {scaling:.2f} of {cores} times one, and at {of_apart:.2f} of
{cores} bare loops at once, which themselves are at {apart:.2f} of {cores} times one: they share caches and
memory.

Memory: {memory}. It holds two batches of photos and at most 256 rows, however many photos there are.

The report of {rows} rows took {report:.1f} s.

## On several machines

`pip install "convlens[ray]"`, then `--engine ray`: processes of one thread each, on this machine or, by
`--address` or `RAY_ADDRESS`, on a cluster. The model's file and this code travel there; torch and the rest of the
requirements are installed there, and photos are read there, from the same paths or an address. The rows are the
plain loop's, and become parts of the same store by the process that asked, so a node that dies loses none of
them: its batch is answered by another one (tests/batch/test_on_ray.py kills one of two nodes). Starting and
ending Ray takes about ten seconds, so few photos are done sooner without. Whoever has a Ray cluster's token
(`~/.ray/auth_token`, or `RAY_AUTH_TOKEN`, shown where `RAY_AUTH_MODE=token` is set; older versions have none) can
run any code on it: keep its ports to a network of your own.

### What to expect

Not measured beyond two nodes on one machine: reckoned from the rates above, {ray:.1f} photos a second for a node
of {cores} cores like these, {kb:.0f} kB a photo, {bytes} bytes a row, and {driver:.0f} rows a second, which is
what the one process that writes them takes in (measured alone, from memory).

| nodes | photos/s | hours for a million | node-hours | photos, MB/s | rows, MB/s |
| --- | --- | --- | --- | --- | --- |
{plan}

Node-hours times the price of a node are the cost. It saturates at {full:.0f} nodes, where the process that writes
has no time left; then start several runs, a list and a folder of rows each. A shared disk or bucket has to give
the MB/s above, which a link of 10 Gbit/s does up to {link:.0f} nodes; decoding takes its part of each node's cores
and grows with them.

Without Ray: rows know nothing of each other, so a data set is split by a list for each machine, and their parts
read as one:

```bash
# Slurm: sbatch --array=0-9; lists/00.csv to lists/09.csv have a column `path` each
convlens batch lists/$(printf %02d $SLURM_ARRAY_TASK_ID).csv -o rows-$SLURM_ARRAY_TASK_ID --model /shared/lite.pt
```

```python
# Spark: mapInPandas over binaryFile; the same rows, one explainer for each process
def answered(frames):
    answering = Answering(convlens.load("/shared/lite.pt"), Questions(("hires_cam",)))
    for frame in frames:
        photos = [Photo(path, lambda content=content: content) for path, content in zip(frame.path, frame.content)]
        yield pandas.DataFrame(answering.rows([(photo, opened(photo)) for photo in photos]))
```

with `Answering` of `convlens.batch.answering`, `Questions` and `opened` of `convlens.batch.questions` and `Photo`
of `convlens.batch.sources`.
"""
