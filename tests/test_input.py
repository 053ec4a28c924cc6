"""Types, layouts and threads do not change a fit."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from problems import both, make_data, outliers, row_numbers


@both
def test_layout_and_type_of_the_input(estimator):
    X, y = make_data(outliers)
    X, y = X.astype(np.float32), y.astype(np.float32)
    s, v = row_numbers(60)
    plain = estimator().fit(X.astype(float), y.astype(float), s, v)

    def locked(a):
        a = a.copy()
        a.setflags(write=False)
        return a

    variants = {
        "float32": (X, y, s.astype(np.float32), v),
        "fortran": (np.asfortranarray(X.astype(float)), y, s, v),
        "strided": (np.repeat(X, 2, axis=0)[::2], np.repeat(y, 2)[::2], np.repeat(s, 2)[::2], np.repeat(v, 2)[::2]),
        "reversed": (X[:, ::-1].copy()[:, ::-1], y[::-1].copy()[::-1], s, v),
        "read-only": tuple(map(locked, (X.astype(float), y.astype(float), s, v))),
        "lists": (X.tolist(), y.tolist(), s.tolist(), v.tolist()),
        "big-endian": (X.astype(">f8"), y.astype(">f8"), s.astype(">f8"), v.astype(">f8")),
        "objects": (X.astype(object), y.astype(object), s, v),
    }
    for name, arguments in variants.items():
        model = estimator().fit(*arguments)
        assert model.coef_.dtype == np.float64, name
        np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-11, err_msg=name)
        np.testing.assert_allclose(model.weights_, plain.weights_, rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(model.predict(arguments[0]), plain.predict(X), rtol=1e-11, err_msg=name)


@both
def test_integers_and_bools(estimator):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 5, size=(60, 2)), rng.integers(0, 50, size=60)
    plain = estimator().fit(X.astype(float), y.astype(float))
    np.testing.assert_allclose(estimator().fit(X, y).coef_, plain.coef_, rtol=1e-12)
    flags = X > 2
    np.testing.assert_allclose(
        estimator().fit(flags, y, sample_weight=np.ones(60, bool)).coef_,
        estimator().fit(flags.astype(float), y).coef_,
        rtol=1e-12,
    )


@both
def test_fits_in_threads_do_not_disturb_each_other(estimator):
    tasks = [make_data(outliers, n=500, seed=seed) for seed in range(8)]
    alone = [estimator().fit(X, y).coef_ for X, y in tasks]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda task: estimator().fit(*task).coef_, tasks))
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)
