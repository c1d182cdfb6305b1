"""Who writes the shards: processes of this machine, or workers of Apache Beam on any."""

import logging
import multiprocessing
import os
import shlex
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from keras_audio_vae.datasets.store.plan import ShardPlan
from keras_audio_vae.datasets.store.shards import write_shard
from keras_audio_vae.errors import UserError


def run_processes(plans: Sequence[ShardPlan], folder: str, workers: int, written: Callable[[ShardPlan], None]) -> None:
    """Write shards by processes of this machine.

    Args:
        plans: the shards.
        folder: of the store.
        workers: how many processes; with one, or for one shard, this process does it itself.
        written: called after each shard.

    Raises:
        UserError: the store cannot be written, or a process died.
    """
    workers = min(workers, len(plans))
    if workers <= 1:
        for plan in plans:
            write_shard(plan, folder)
            written(plan)
        return
    # Spawned, not forked: TensorFlow's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_end_with_parent) as pool:
        tasks = {pool.submit(write_shard, plan, folder): plan for plan in plans}
        try:
            for task in as_completed(tasks):
                task.result()
                written(tasks[task])
        except BrokenProcessPool as error:
            raise UserError(
                f"{folder}: a process that wrote it was killed, most likely for want of memory; run the command again"
                " with fewer --workers: finished shards are kept"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def run_beam(plans: Sequence[ShardPlan], folder: str, workers: int, options: str) -> None:
    """Write shards by a Beam pipeline, one shard an element.

    Without a runner among the options this is the engine of Beam's DirectRunner with threads of this machine, which
    decoding and resampling keep busy well. It is named by its own name, FnApiRunner: the DirectRunner of today
    first fetches another program from the network and tries that.

    Args:
        plans: the shards.
        folder: of the store; every worker must reach it, and the sound files, under the same names.
        workers: how many threads of the default runner.
        options: command line of Beam's, such as "--runner=FlinkRunner --flink_master=host:8081".

    Raises:
        UserError: the pipeline failed.
    """
    logging.disable(logging.WARNING)  # Beam's import complains of cloud libraries that only a cloud needs
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    logging.disable(logging.NOTSET)
    workers = min(workers, len(plans))
    mode = "multi_threading" if workers > 1 else "in_memory"
    own = ["--runner=FnApiRunner", f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"]
    try:
        with beam.Pipeline(options=PipelineOptions([*own, *shlex.split(options)])) as pipeline:
            shards = pipeline | "Plan" >> beam.Create(plans) | "Deal" >> beam.Reshuffle()
            _ = shards | "Write" >> beam.Map(write_shard, folder=folder)
    except Exception as error:  # whatever a runner raises, the user's options or disks are at fault
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in lines if "UserError" in line), lines[-1] if lines else repr(error))
        raise UserError(f"the Beam pipeline failed: {reason} (finished shards are kept)") from error


def _end_with_parent() -> None:
    """Make a worker die quietly with the process that started it, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
