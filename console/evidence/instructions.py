"""How does somebody check a bundle with nothing but what every computer has? The README.txt in it."""

from console.evidence.lot import Lot, warnings
from console.terminal import shown
from db.operating_points import approval_words

_HOW = """\
WHAT IS HERE
  verdicts.csv          one line per image: verdict, score, sha256, model, limits, worker, time, what a person decided
                        and what came of both ("final_disposition"). Text that a spreadsheet would run as a formula
                        has an apostrophe in front of it.
  verdicts.json         the same, with every text as it is
  images.sha256         the sha256 of each image that could be read, as sha256sum writes it
  operating-point.json  the limits, what they were to keep, who approved them and why, and what they make of the
                        images that the model was judged on, with bounds
  model.json            the model's file by its sha256 ("digest"), how it was trained, and on which data set
  evaluation.json       how the model did on images that it has not learned from; each rate with its 95% bounds
  confusion-matrix.csv  the same in counts: actual class, predicted class, images
  job.json              who submitted what and when; its ledger
  report.html           all of that to look at, in any browser
  audit-events.jsonl    what was done with the job, its batches, its model, and what that was made from and judged on;
                        audit-chain.json: where the chain ended
  verdict-rows.jsonl    every verdict that was ever given on the images, as the events' digests cover it
  records.jsonl         likewise the job, model, training, data sets, limits, approvals, evaluations, decisions of
                        people and samples of the images that passed
  check.py              checks all of this: see below
  versions.json         versions of the code and its libraries
  SHA256SUMS            the sha256 of every file here

HOW TO CHECK IT
1. Unpack it, and in the folder into which that was done:
     sha256sum -c SHA256SUMS
   names every file that was altered since. Whoever gave you the bundle should tell you its own sha256 by another way.

2. In the folder of the images:
     sha256sum --quiet -c /where/this/is/images.sha256
   names every image that was altered or is missing since it was judged, and nothing else.

3. With Python 3.11 or later, and nothing but its own library:
     python3 check.py [FOLDER OF THE IMAGES]
   does both on any system. It also checks that each verdict follows from its score and the limits, each final
   disposition from its verdict and what people decided, that no image is
   without a verdict, that the files say the same as each other, that each audit event has the digest of its content
   and of the one before it, and that verdicts and records have the digests that the events keep of them. It is short:
   read it before you run it. Events about other jobs lie between those here; that none of them was removed is what
   `inspectq audit verify` says, whose digest is that of audit-chain.json for as long as nothing was added.

4. With inspectq, the images, and the model's file, whose sha256 has to be the "digest" in model.json:
     inspectq replay {job} --all
   asks the network again.
"""


def instructions(lot: Lot) -> str:
    """What the bundle is about, what to know before relying on it, and how to check it."""
    job = lot.job
    counts = ", ".join(f"{number} {name}" for name, number in lot.ledger.to_dict().items())
    about = [
        f"Evidence for job {job.id}: the images in {shown(job.root)}",
        f"judged by model {shown(job.checkpoint.name)}, sha256 {job.checkpoint.digest},",
        f"by operating point {job.operating_point_id}, {shown(approval_words(job.operating_point))}.",
        f"Images: {counts}{f', {lot.open_images} without a verdict' if lot.open_images else ''}.",
        *(f"NOTE: {shown(warning)}" for warning in warnings(lot)),
    ]
    return "\n".join(about) + "\n\n" + _HOW.replace("{job}", str(job.id))
