"""The notebooks run from above to below, and what their text says of the numbers is true."""

import nbformat
import pytest
from helpers import ROOT
from nbclient import NotebookClient

#: notebook -> what has to be true at its end, in its own variables
CHECKS = {
    "1_first_run": """
        assert errors["learned"] > errors["exact"]
        assert abs(errors["exact"] / errors["Bayes risk"] - 1) < 0.05
        assert more.table["path_kl.total"][1] < more.table["path_kl.total"][0]
        assert again.metrics == result.metrics
        assert again.table.loc["mode weight", "reference"] == 0.7
    """,
    "2_your_own_target_and_network": """
        assert "path_kl.total" in result.metrics["not_measured"]
        assert solved.metrics["path_kl"]["total"] > exact.metrics["path_kl"]["total"] == 0
        assert all(abs((samples**2).sum(1).mean() ** 0.5 - 2) < 0.1 for samples in radii.values())
        assert "not measured" in evaluation.table["verdict"][0]
    """,
    "3_train_once_sample_many": """
        w1 = table.set_index(["sampler", "sampler.steps"])["projection.w1"]
        assert all(w1[name, 32] < w1[name, 4] for name in ("ddim", "dpm_solver_2m_sde"))
        assert table["path_kl.total"].nunique() == table["training.loss"].nunique() == 1
        assert scorelab.load(trained.directory).metrics == trained.metrics
        means, off = trained.target.means, {}
        for name, cloud in clouds.items():
            points = cloud if torch.is_tensor(cloud) else torch.tensor(cloud)
            distances = torch.cdist(points.double(), means.double()).min(1).values
            off[name] = float((distances > 4 * 0.5).double().mean())
        steps, network, perfect_ = off["DDIM, 4 steps"], off["DDIM, 32 steps"], off["no network, 32 steps"]
        assert off["exact"] < 0.005 and perfect_ < 0.02 and network > 2 * perfect_ and network > 0.02, off
        assert few.passed is False
    """,
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_notebook_runs_and_says_what_is_true(name, tmp_path):
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    check = "\n".join(line.removeprefix(" " * 8) for line in CHECKS[name].strip("\n").splitlines())
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    of_progress = [text for output in outputs if "samples, " in (text := output.get("data", {}).get("text/plain", ""))]
    runs = [cell for cell in notebook.cells if "scorelab.run(" in cell.source or "scorelab.sweep(" in cell.source]
    assert 0 < len(of_progress) <= len(runs)  # one line a cell
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("<table" in output.get("data", {}).get("text/html", "") for output in outputs)
