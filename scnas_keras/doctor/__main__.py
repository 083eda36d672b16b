"""The command; `scnas_keras.doctor` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import doctor
from scnas_keras.options import run

if __name__ == "__main__":
    run(doctor.DoctorConfig, doctor.main, doctor.__doc__)
