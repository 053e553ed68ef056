"""Measure denoisers on clean images with fresh noise, and lay the numbers out beside those of the X-BDCNN paper.

    clean image -> cases -> noise -> denoiser -> PSNR, SNR, SSIM, seconds, noise level -> means -> tables

`plan` chooses rows (rows.py) and cases (cases.py) and checks them; `Plan.measure` runs them (run.py) and keeps the
results (log.py); `Plan.report` makes the tables (summary.py, report.py, levels.py). figure.py draws Figure 2, and
page.py makes one HTML page of it all.
"""
